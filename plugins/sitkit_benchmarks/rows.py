"""Reads JSON lines, gzipped or plain, and the fields of their rows; every error names file, line and field."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sitkit.errors import DataError
from sitkit.types import LETTERS

_HALF = re.compile("[\ud800-\udfff]")


class Row:
    """One row and where it stands, so that whoever finds a field wrong can say so in one line.

    A field inside another is named with a dot: ``choices.text``.
    """

    __slots__ = ("_values", "where")

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self.where = where

    def __contains__(self, field: str) -> bool:
        return self._find(field) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in self._values.items() if value is not None)

    def text(self, field: str) -> str:
        """Return a field's text, stripped. Raises `DataError` if it is missing, no text, or blank."""
        return self._text(field, self._get(field))

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a field's list of at least two texts, each stripped. Raises `DataError` as `text` does."""
        values = self._get(field)
        if not isinstance(values, list):
            raise self.wrong(field, f"expected a list of texts, got {type(values).__name__}")
        if not 2 <= len(values) <= len(LETTERS):
            raise self.wrong(field, f"expected 2 to {len(LETTERS)} texts, got {len(values)}")
        return tuple(self._text(f"{field}[{index}]", value) for index, value in enumerate(values))

    def letter(self, field: str, options: int) -> str:
        """Return a field that names one of so many options by its letter. Raises `DataError`."""
        value = self.text(field)
        if len(value) != 1 or value not in LETTERS[:options]:
            raise self.wrong(field, f"expected one of {', '.join(LETTERS[:options])}, got {value[:40]!r}")
        return value

    def counted_letter(self, field: str, options: int, *, first: int) -> str:
        """Return the letter of the option a field names by number, counted from ``first``. Raises `DataError`."""
        value = self._get(field)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value - first < options:
            raise self.wrong(field, f"expected a number from {first} to {first + options - 1}, got {value!r:.40}")
        return LETTERS[value - first]

    def wrong(self, field: str, reason: str) -> DataError:
        """Return the error that says what is wrong with a field."""
        return DataError(f"{self.where}: field {field!r}: {reason}")

    def _find(self, field: str) -> Any:
        value: Any = self._values
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def _get(self, field: str) -> Any:
        value = self._find(field)
        if value is None:
            has = ", ".join(sorted(map(str, self._values))) or "none"
            raise DataError(f"{self.where}: field {field!r} is missing (fields: {has})")
        return value

    def _text(self, field: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.wrong(field, f"expected text, got {type(value).__name__}")
        stripped = value.strip()
        if not stripped:
            raise self.wrong(field, "it is empty")
        if found := _HALF.search(stripped):
            # JSON takes it; no file can hold it and no tokenizer reads it.
            raise self.wrong(field, f"it holds half a surrogate pair, \\u{ord(found[0]):04x}, at {found.start() + 1}")
        return stripped


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
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row


def read_choices(row: Row) -> tuple[tuple[str, ...], str]:
    """Return the options in order and the letter of the right one. Raises `DataError`."""
    choices, labels = row.texts("choices.text"), row.texts("choices.label")
    expected = tuple(LETTERS[: len(choices)])
    if labels != expected:
        raise row.wrong("choices.label", f"expected {', '.join(expected)}, got {', '.join(labels)}")
    return choices, row.letter("answerKey", len(choices))
