"""An append-only JSONL file: rows of a long stage, each on disk before it counts, and each with its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sitkit.plugin_support import NOTICES
from sitkit.store.artifacts import write_atomically

_SYNC_SECONDS = 1.0
_SHOWN = 5
_DIGITS = 16
_TAIL = len(', "') + _DIGITS + len('"]')


class Journal:
    """Rows (id -> text) that outlive a kill at any moment; a half-written last line is dropped on opening.

    Use as a context manager, under the lock of whatever it belongs to. A line is a JSON array: id, text, the checksum
    of the line before, and the checksum of all that. A line that is not what was written is never used, so that its
    row is simply made again; a notice names it, and ``NAME.damaged`` beside the journal keeps it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, str] = {}

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = _read(self.path)
        if found.damaged or found.gaps:
            found = self._mend(found)
        self.rows, self._last = found.rows, found.last
        self._file = self.path.open("a+b")
        if self._file.tell() > found.size:
            self._file.truncate(found.size)
        self._synced = time.monotonic()
        return self

    @classmethod
    def peek(cls, path: Path) -> Journal:
        """Return the rows there are now, to read only and without a lock."""
        found = cls(path)
        found.rows = _read(path).rows
        return found

    def append(self, row_id: str, value: str) -> None:
        """Add a row; it survives a kill of the process at once, and a power cut after a second."""
        line, self._last = _line(row_id, value, self._last)
        self._file.write(line)
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        self.rows[row_id] = value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _mend(self, found: _Content) -> _Content:
        """Say what is wrong, put the damaged lines aside, and write the others as one chain."""
        logger, aside = logging.getLogger(NOTICES), self.path.with_name(f"{self.path.name}.damaged")
        if found.damaged:
            logger.warning(
                "%s, %s: damaged (not what its checksum says); not used, asked again where needed, and kept in %s",
                self.path, _lines(list(found.damaged)), aside.name,
            )  # fmt: skip
            with aside.open("ab") as file:
                file.writelines(line + b"\n" for line in found.damaged.values())
        if found.gaps:
            logger.warning(
                "%s, before %s: rows are missing or out of place; what is missing is asked again",
                self.path, _lines(found.gaps),
            )  # fmt: skip
        mended, last = list[bytes](), ""
        for row_id, value in found.rows.items():
            line, last = _line(row_id, value, last)
            mended.append(line)
        write_atomically(self.path, b"".join(mended).decode("ascii"))
        return _Content(found.rows, last, sum(map(len, mended)))


@dataclass
class _Content:
    """What a journal holds: its rows, the checksum of its last line, and the bytes of its whole lines.

    ``damaged``: line number (from 1) -> the line; ``gaps``: the lines that do not follow the one before.
    """

    rows: dict[str, str] = field(default_factory=dict)
    last: str = ""
    size: int = 0
    damaged: dict[int, bytes] = field(default_factory=dict)
    gaps: list[int] = field(default_factory=list)


def _read(path: Path) -> _Content:
    found, follows = _Content(), True
    content = b""
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
    *lines, _ = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        found.size += len(line) + 1
        row = _row(line)
        if row is None:
            found.damaged[number], follows = line, False
            continue
        row_id, value, before, checksum = row
        if follows and before != found.last:
            found.gaps.append(number)
        found.rows[row_id], found.last, follows = value, checksum, True
    return found


def _row(line: bytes) -> tuple[str, str, str, str] | None:
    if line[-_TAIL:] != _tail(line[:-_TAIL]):
        return None
    try:
        row_id, value, before, checksum = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (row_id, value, before, checksum) if isinstance(row_id, str) and isinstance(value, str) else None


def _line(row_id: str, value: str, before: str) -> tuple[bytes, str]:
    body = json.dumps([row_id, value, before], ensure_ascii=True).encode("ascii")[:-1]
    tail = _tail(body)
    return body + tail + b"\n", tail[3 : 3 + _DIGITS].decode("ascii")


def _tail(body: bytes) -> bytes:
    return f', "{hashlib.blake2b(body, digest_size=_DIGITS // 2).hexdigest()}"]'.encode("ascii")


def _lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    more = f" and {len(numbers) - _SHOWN:,} more" if len(numbers) > _SHOWN else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"
