"""What happens while a plan runs, in lines: for output that is no terminal, and for run.log in the run's folder."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sitkit.execution.events import (
    Event,
    Listener,
    Notice,
    StageFinished,
    StageProgress,
    StageStarted,
    StageWaiting,
    StatusMessage,
)
from sitkit.plain_text import message_line, visible

RUN_LOG = "run.log"
"""The file in a run's folder that holds these lines, of every time the run was started."""

MINUTE = 60.0


@dataclass
class _Running:
    """A stage under way: when its last line was written, when and where its progress began, and how far it is;
    ``started`` is its event.
    """

    started: StageStarted
    told: float
    began: float | None = None
    first: int = 0
    done: int = 0
    total: int = 0
    loss: float | None = None
    part: float = 0.0


class EventLines:
    """A listener that writes a line when a stage starts and when it is done, none for what is reused, and one every
    ``every`` seconds in between: done, rate, loss where there is one, time left.

    Used as a context: a thread of its own sees to the latter, since a stage that loads a model tells nothing.
    """

    def __init__(self, write: Callable[[str], None], *, stamped: bool = False, every: float = MINUTE) -> None:
        """Take what writes a line. ``stamped`` puts date and time before each; else the time stands before some."""
        self._write, self._stamped, self._every = write, stamped, every
        self._running: dict[str, _Running] = {}
        self._last = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> EventLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Write what happened."""
        with self._lock:
            for line in self._lines(event):
                self._put(line, datetime.now().strftime("%Y-%m-%d %H:%M:%S ") if self._stamped else "")

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case StageStarted(stage, index, total):
                self._last = stage.key
                self._running[stage.key] = _Running(event, time.monotonic())
                yield f"[{index}/{total}] {stage.stage} {stage.label}"
            case StageProgress(stage, done, total, loss, part) if stage.key in self._running:
                self._advance(self._running[stage.key], done, total, loss, part)
            case StageFinished(stage, seconds, reused):
                self._running.pop(stage.key, None)
                if not reused:
                    # Where several stages run at once, another one may have started since.
                    which = "" if stage.key == self._last else f"{stage.stage} {stage.label} "
                    yield f"    {which}done in {seconds:.1f} s"
            case StageWaiting(stage):
                yield f"waiting: another run is at {stage.stage} {stage.label}"
            case StatusMessage(_, text):
                yield f"    {message_line(text)}"
            case Notice(text):
                yield message_line(f"note: {text}")

    def _advance(self, running: _Running, done: int, total: int, loss: float | None, part: float) -> None:
        if running.began is None or done < running.done or total != running.total:
            # What was done before it went on, the time that loading took, and an earlier part of the stage (answers to
            # watched questions before a training) say nothing of the rate.
            running.began, running.first = time.monotonic(), done
        running.done, running.total, running.loss, running.part = done, total, loss, part

    def _watch(self) -> None:
        while not self._ended.wait(self._every / 12):
            with self._lock:
                now = time.monotonic()
                for running in self._running.values():
                    if now - running.told >= self._every:
                        running.told = now
                        now_text = f"{datetime.now():{'%Y-%m-%d ' if self._stamped else ''}%H:%M:%S} "
                        self._put(f"    {self._which(running)}{progress_text(running, now)}", now_text)

    def _which(self, running: _Running) -> str:
        stage = running.started.stage
        return "" if len(self._running) == 1 else f"{stage.stage} {stage.label}: "

    def _put(self, line: str, stamp: str) -> None:
        self._write(visible(f"{stamp}{line}"))


def progress_text(running: _Running, now: float) -> str:
    """Return how far a stage is: ``120/400, 3.1/s, loss 0.512, 1 min 30 s left, 12 min 5 s of the run``."""
    if running.began is None or not running.total:
        return "loading" if running.began is None else f"{running.done} done"
    parts = [f"{running.done:,}/{running.total:,}"]
    reached = running.done + running.part
    rate = (reached - running.first) / (now - running.began) if now > running.began else 0.0
    if rate:
        parts.append(rate_text(rate))
    if running.loss is not None:
        parts.append(f"loss {running.loss:.3g}")
    if rate:
        left = (running.total - reached) / rate
        parts.append(f"{duration_text(left)} left")
        if running.started.index < running.started.total:
            parts.append(f"{run_left_text(left, running.started)} of the run")
    return ", ".join(parts)


def rate_text(rate: float) -> str:
    """Return how many are done a second, or how long each takes: ``3.1/s``, ``2.5 s each``."""
    return f"{rate:,.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def run_left_text(left: float, started: StageStarted) -> str:
    """Return how long a run will go on whose stage has ``left`` seconds to go: ``12 min 5 s``, ``at least 5 s``."""
    return f"{'at least ' if started.unknown else ''}{duration_text(left + started.after)}"


def duration_text(seconds: float) -> str:
    """Return a duration to the second, or to the minute above an hour: ``45 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


@contextmanager
def run_log(folder: Path, title: str, listener: Listener) -> Iterator[Listener]:
    """Yield the listener, what it hears being appended to run.log in the folder as well, with how the run ended.

    A log that cannot be written is no reason to stop.
    """

    def write(line: str) -> None:
        with contextlib.suppress(OSError), (folder / RUN_LOG).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def note(text: str) -> None:
        write(visible(f"{datetime.now():%Y-%m-%d %H:%M:%S} {message_line(text)}"))

    note(title)
    with EventLines(write, stamped=True) as lines:

        def both(event: Event) -> None:
            lines(event)
            listener(event)

        try:
            yield both
        except BaseException as error:
            note(f"stopped: {type(error).__name__} {error}".strip())
            raise
        note("done")
