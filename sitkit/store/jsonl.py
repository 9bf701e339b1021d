"""Rows of JSONL: the nouns to and from plain objects, read with errors that name file, line and field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sitkit.errors import ArtifactError

RowT = TypeVar("RowT")


def to_row(value: Any) -> dict[str, Any]:
    """Return a dataclass of plain values as a dict."""
    return dataclasses.asdict(value)


def write_rows(path: Path, rows: Iterable[Any]) -> int:
    """Write dataclasses or dicts as JSONL and return how many."""
    count = 0
    # Half a surrogate pair, which an endpoint may send, has no UTF-8; what stands in for it is its JSON escape.
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for row in rows:
            plain = row if isinstance(row, Mapping) else to_row(row)
            file.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_dicts(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file. Raises `ArtifactError` naming file and line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ArtifactError(f"{path}, line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ArtifactError(f"{path}, line {number}: expected an object")
            yield row


def read_rows(path: Path, noun: type[RowT]) -> list[RowT]:
    """Read a JSONL file of one noun. Raises `ArtifactError` naming file, line and what does not fit."""
    rows = []
    for number, row in enumerate(read_dicts(path), 1):
        try:
            rows.append(noun(**row))
        except TypeError as error:
            raise ArtifactError(f"{path}, line {number}: not a valid {noun.__name__}: {error}") from error
    return rows
