"""An append-only JSONL file: rows of a long stage, each on disk before it counts."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from types import TracebackType

_SYNC_SECONDS = 1.0


class Journal:
    """Rows (id -> text) that outlive a kill at any moment; a half-written last line is dropped on opening.

    Use as a context manager, under the lock of whatever it belongs to. A row that does not parse is as if it had
    never been written, so it is simply made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, str] = {}

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self._file.seek(0)
        content = self._file.read()
        self.rows = _rows(content)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        self._synced = time.monotonic()
        return self

    @classmethod
    def peek(cls, path: Path) -> Journal:
        """Return the rows there are now, to read only and without a lock."""
        found = cls(path)
        with contextlib.suppress(FileNotFoundError):
            found.rows = _rows(path.read_bytes())
        return found

    def append(self, row_id: str, value: str) -> None:
        """Add a row; it survives a kill of the process at once, and a power cut after a second."""
        self._file.write(json.dumps([row_id, value], ensure_ascii=True).encode("ascii") + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        self.rows[row_id] = value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _rows(content: bytes) -> dict[str, str]:
    rows = {}
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        try:
            row_id, value = json.loads(line)
        except (ValueError, TypeError):
            continue
        if isinstance(row_id, str) and isinstance(value, str):
            rows[row_id] = value
    return rows
