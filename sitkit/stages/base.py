"""What every stage is: a name, a version, what determines it, the stages it needs, and how it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sitkit.store import Artifact, Journal, make_key
from sitkit.types import Json, Progress

if TYPE_CHECKING:
    from sitkit.components import Component
    from sitkit.stages.teacher_calls import Budget


@dataclass(frozen=True)
class Work:
    """What a running stage is given.

    ``folder`` takes its artifacts; what lies in ``scratch`` survives a kill and is removed once the stage is done;
    ``journal(name)`` opens rows shared by all stages of that name, under a lock; ``notice`` tells the user something,
    now and in every report that uses this stage; ``budget`` is what teachers may spend. ``task_folders``:
    distribution -> its folders of lm-eval tasks.
    """

    folder: Path
    scratch: Path
    artifacts: Mapping[str, Artifact]
    journal: Callable[[str], AbstractContextManager[Journal]]
    progress: Progress
    notice: Callable[[str], None]
    budget: Budget
    data_dir: Path | None
    task_folders: Mapping[str, Sequence[Path]]

    def artifact(self, node: Node) -> Artifact:
        """Return the finished artifact of an input."""
        return self.artifacts[node.key]


class Stage(Protocol):
    """A stage. ``version`` rises when its code changes what it makes, so that old artifacts are not reused."""

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The stages whose artifacts this one reads."""

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The teacher or student it keeps loaded while it runs."""

    def label(self) -> str:
        """Return a few words that tell it from other stages of its name."""

    def material(self) -> Json:
        """Return what determines the artifacts, beside the inputs."""

    def prompts(self) -> int:
        """Return how many prompts will be answered, for a plan shown to the user."""

    def run(self, work: Work) -> Json:
        """Make the artifacts in ``work.folder`` and return what there is to tell (kept in the manifest as info)."""


def stage_label(what: str, where: str, seed: int | None) -> str:
    """Return what a stage does, where in the run it stands (in brackets) and its seed; those there are."""
    words = (what, f"({where})" if where else "", "" if seed is None else f"seed {seed}")
    return " ".join(word for word in words if word)


def round_seed(seed: int, round_: int) -> int:
    """Return the seed of a round of refining, the first being 0: the run's own, then others, none the same."""
    if not round_:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}|round {round_}".encode()).digest()[:4], "big")


@dataclass(frozen=True, eq=False)
class Node:
    """A stage in a plan, with its key."""

    stage: Stage

    @cached_property
    def material(self) -> Json:
        """Everything that determines the artifacts."""
        return {
            "stage": self.stage.name,
            "version": self.stage.version,
            "settings": self.stage.material(),
            "inputs": [one.key for one in self.stage.inputs],
        }

    @cached_property
    def key(self) -> str:
        """The key of the artifacts in the store."""
        return make_key(self.material)

    @property
    def title(self) -> str:
        """The stage's name and label."""
        return f"{self.stage.name} {self.stage.label()}".strip()
