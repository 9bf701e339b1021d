"""Reads JSON lines, gzipped or plain, and the fields of their rows; every error names file, line and field."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sitkit.errors import DataError


class Row:
    """One row and where it stands, so that whoever finds a field wrong can say so in one line."""

    __slots__ = ("_values", "where")

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self.where = where

    def __contains__(self, field: str) -> bool:
        return self._values.get(field) is not None

    def text(self, field: str) -> str:
        """Return a field's text, stripped. Raises `DataError` if it is missing, no text, or blank."""
        value = self._values.get(field)
        if value is None:
            has = ", ".join(sorted(map(str, self._values))) or "none"
            raise DataError(f"{self.where}: field {field!r} is missing (fields: {has})")
        if not isinstance(value, str):
            raise self.wrong(field, f"expected text, got {type(value).__name__}")
        stripped = value.strip()
        if not stripped:
            raise self.wrong(field, "it is empty")
        return stripped

    def wrong(self, field: str, reason: str) -> DataError:
        """Return the error that says what is wrong with a field."""
        return DataError(f"{self.where}: field {field!r}: {reason}")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSONL file, gzipped if its name ends in .gz; blank lines are passed over.

    Raises `DataError` for a file that cannot be read and for a line that is no JSON object.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield Row(_object(line, f"{path}, line {number}"), f"{path}, line {number}")
    except (OSError, EOFError) as error:
        after = f" after line {number}" if number else ""
        raise DataError(f"{path} cannot be read{after}: {error}") from error


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes. Raises `DataError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: no JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row
