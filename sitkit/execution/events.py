"""What happens while a plan is walked, as plain events; the command line shows them, anybody else may too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sitkit.plugin_support import NOTICES as NOTICES
from sitkit.types import Json, StageInfo


@dataclass(frozen=True)
class StageStarted:
    """A stage starts: the ``index``-th (from 1) of ``total``."""

    stage: StageInfo
    index: int
    total: int


@dataclass(frozen=True)
class StageProgress:
    """A stage has done this much of its work."""

    stage: StageInfo
    done: int
    total: int


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
