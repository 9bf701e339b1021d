"""What happens while a plan runs, as plain events; the command line shows them, anybody else may too."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from sitkit.plugin_support import NOTICES
from sitkit.types import Json, StageInfo


@dataclass(frozen=True)
class StageStarted:
    """A stage starts: the ``index``-th (from 1) of ``total``.

    ``after``: the seconds that the stages still to come are expected to take, but for ``unknown`` of them, of whose
    like none has been timed yet.
    """

    stage: StageInfo
    index: int
    total: int
    after: float = 0.0
    unknown: int = 0


@dataclass(frozen=True)
class StageProgress:
    """A stage has done this much of its work; ``loss`` is the last that a training has told, ``part`` what is under way
    beyond ``done``, in the same unit.
    """

    stage: StageInfo
    done: int
    total: int
    loss: float | None = None
    part: float = 0.0


@dataclass(frozen=True)
class StageFinished:
    """A stage's artifacts are there: made in ``seconds``, or reused (then ``seconds`` is what they once took)."""

    stage: StageInfo
    seconds: float
    reused: bool
    info: Json


@dataclass(frozen=True)
class StageWaiting:
    """Another run is making this stage; its artifacts will be reused."""

    stage: StageInfo


@dataclass(frozen=True)
class StatusMessage:
    """What a stage is at just now, for whoever watches."""

    stage: StageInfo
    text: str


@dataclass(frozen=True)
class Notice:
    """Something the user should know."""

    text: str


Event: TypeAlias = StageStarted | StageProgress | StageFinished | StageWaiting | StatusMessage | Notice
Listener: TypeAlias = Callable[[Event], None]


_NUMBERS = ("loss", "under_way")
"""What `tell_loss` and `tell_under_way` tell."""


class _Receiver(logging.Handler):
    """Hands on what is logged for one stage. ``before``: the logger's level and propagation without any receiver."""

    before: tuple[int, bool]

    def __init__(
        self, notice: Callable[[str], None], status: Callable[[str], None], told: Mapping[str, Callable[[float], None]]
    ) -> None:
        super().__init__(logging.INFO)
        self._notice = notice
        self._status = status
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        # A thread that a stage has started itself belongs to no run that can be told from here: every run hears it.
        if _RECEIVING.get() not in (self, None):
            return
        number = next((name for name in _NUMBERS if hasattr(record, name)), None)
        if number is None:
            (self._status if record.levelno < logging.WARNING else self._notice)(record.getMessage())
        elif number in self._told:
            self._told[number](float(getattr(record, number)))


_RECEIVING: ContextVar[_Receiver | None] = ContextVar("sitkit_notices", default=None)
_INSTALLING = threading.Lock()


@contextmanager
def receive_notices(
    notice: Callable[[str], None], status: Callable[[str], None], **told: Callable[[float], None]
) -> Iterator[None]:
    """Hand on what is logged under `NOTICES` in this thread: warnings to ``notice``, numbers to what is ``told`` them
    (``loss``: what `tell_loss` tells; ``under_way``: `tell_under_way`), the rest to ``status``.

    Runs in other threads keep theirs, and the logger is left as it was found once no run is using it.
    """
    logger, receiver = logging.getLogger(NOTICES), _Receiver(notice, status, told)
    with _INSTALLING:
        others = [handler for handler in logger.handlers if isinstance(handler, _Receiver)]
        receiver.before = others[0].before if others else (logger.level, logger.propagate)
        logger.addHandler(receiver)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    token = _RECEIVING.set(receiver)
    try:
        yield
    finally:
        _RECEIVING.reset(token)
        with _INSTALLING:
            logger.removeHandler(receiver)
            if not any(isinstance(handler, _Receiver) for handler in logger.handlers):
                logger.setLevel(receiver.before[0])
                logger.propagate = receiver.before[1]
