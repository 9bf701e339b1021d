"""What training processes tell the one that started them: lines of JSON in a file that all of them append to."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError, SettingError, SitkitError
from sitkit.types import Json, TrainingReport

_SECONDS = 0.2
"""Progress is told this often at most."""

_ERRORS: dict[str, type[SitkitError]] = {kind.__name__: kind for kind in (ModelError, SettingError)}


class MemoryRanOutError(Exception):
    """Memory ran out on some process with ``micro`` examples at a time; all of them start again with fewer."""

    def __init__(self, micro: int) -> None:
        self.micro = micro
        super().__init__(f"memory ran out with {micro} examples at a time")


class Teller:
    """The training side."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._last = 0.0

    def progress(self, done: int, total: int) -> None:
        """Tell how many steps are done; a `Progress`."""
        if done in (0, total) or time.monotonic() - self._last > _SECONDS:
            self._last = time.monotonic()
            self._tell(progress=[done, total])

    def notice(self, text: str) -> None:
        """Tell something the user should know."""
        self._tell(notice=text)

    def report(self, report: TrainingReport) -> None:
        """Tell that the training is done."""
        self._tell(report=dataclasses.asdict(report))

    def error(self, error: BaseException) -> None:
        """Tell why the training failed, as data that `raise_told` turns into an exception again."""
        if isinstance(error, MemoryRanOutError):
            self._tell(out_of_memory=error.micro)
        elif isinstance(error, SitkitError):
            self._tell(error=type(error).__name__, text=str(error))
        elif isinstance(error, OSError) and error.errno is not None:
            self._tell(errno=error.errno, text=error.strerror or "", file=error.filename and str(error.filename))
        else:
            self._tell(error="", text=f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _tell(self, **told: Json) -> None:
        # One write of one line, so that lines of several processes do not mix.
        os.write(self._file, (json.dumps(told) + "\n").encode())


class Told:
    """The other side: reads what was appended since it last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the whole lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)


def raise_told(told: dict[str, Any]) -> None:
    """Raise the error that was told, if it was one."""
    if "out_of_memory" in told:
        raise MemoryRanOutError(told["out_of_memory"])
    if "errno" in told:
        raise OSError(told["errno"], told["text"], told["file"])
    if told.get("error"):
        raise _ERRORS.get(told["error"], ModelError)(told["text"])
    if "error" in told:
        raise RuntimeError(told["text"])


def told_report(plain: dict[str, Any]) -> TrainingReport:
    """Return the report that was told."""
    return TrainingReport(**plain)
