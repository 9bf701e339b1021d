"""Reads JSON lines, gzipped or plain, and the fields of their rows; every error names file, line and field."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sitkit.errors import DataError
from sitkit.plugin_support import quiet
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

    def value(self, field: str) -> Any:
        """Return what a field holds. Raises `DataError` if it is missing."""
        return self._get(field)

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
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield Row(_object(line, f"{path}, line {number}"), f"{path}, line {number}")
    except (OSError, EOFError) as error:
        after = f" after line {number}" if number else ""
        raise DataError(f"{path} cannot be read{after}: {error}") from error


def read_any_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file by the ending of its name: JSON lines, one JSON array, CSV, TSV (each also gzipped), or
    Parquet, which `datasets` reads.

    Raises `DataError` as `read_rows` does, and for a file of another ending.
    """
    ending = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if ending in ("csv", "tsv"):
        return _csv_rows(path, "," if ending == "csv" else "\t")
    if ending == "parquet" and not path.name.lower().endswith(".gz"):
        return _parquet_rows(path)
    if ending == "json":
        return _array_rows(path)
    if ending != "jsonl":
        raise DataError(f"{path}: expected a name that ends in .jsonl, .json, .csv, .tsv (or these with .gz), .parquet")
    return read_rows(path)


def _csv_rows(path: Path, delimiter: str) -> Iterator[Row]:
    # Texts as they are: a reader that guesses types would make 7 of "007" and nothing of "NA".
    number = 0
    try:
        with _opened(path) as file:
            reader = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=delimiter, strict=True)
            for values in reader:
                number = reader.line_num
                if None in values:
                    raise DataError(f"{path}, line {number}: more fields than its first line names")
                yield Row({name: value or None for name, value in values.items()}, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        after = f" after line {number}" if number else ""
        raise DataError(f"{path} cannot be read{after}: {error}") from error


def _array_rows(path: Path) -> Iterator[Row]:
    try:
        with _opened(path) as file:
            text = file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if text.lstrip()[:1] != b"[":
        yield from read_rows(path)
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    for number, values in enumerate(found, 1):
        if not isinstance(values, dict):
            raise DataError(f"{path}, item {number}: expected a JSON object, got {type(values).__name__}")
        yield Row(values, f"{path}, item {number}")


def _parquet_rows(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise DataError(f"{path} cannot be read: there is no such file")
    with quiet(), tempfile.TemporaryDirectory(prefix="sitkit-parquet-") as cache:
        from datasets import load_dataset

        try:
            # Streamed, so that no copy of it is made.
            files = {"data_files": str(path), "cache_dir": cache}
            table = load_dataset("parquet", split="train", streaming=True, **files)
            for number, values in enumerate(table, 1):
                yield Row(values, f"{path}, row {number}")
        except Exception as error:
            # pyarrow and datasets fail in many classes; each ends the same way for the user.
            reason = " ".join(str(error).split())[:300]
            raise DataError(f"{path} cannot be read as Parquet ({type(error).__name__}: {reason})") from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


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
