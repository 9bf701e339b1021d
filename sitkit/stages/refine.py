"""Refine: preference optimisation from a student that is also the frozen reference (section 2.2).

It is the instructed student, and from the second round on the student that the round before has made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from sitkit.components import Component, objective
from sitkit.errors import RecipeError
from sitkit.settings import RefineSettings
from sitkit.stages.base import Node, Work, round_seed, stage_label
from sitkit.stages.pair import PAIRS, Pair
from sitkit.stages.training import ADAPTER, refine_material, resolve_objective, training_info
from sitkit.store.jsonl import read_rows
from sitkit.types import Json, PreferencePair, Strategy, Student


@dataclass(frozen=True, eq=False)
class Refine:
    """One refined student."""

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 2

    student: Component[Student]
    strategy: Component[Strategy]
    start: Node
    paired: Node
    settings: RefineSettings
    seed: int
    where: str = ""
    round: int = 0

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The student it starts from and the pairs."""
        return (self.start, self.paired)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return strategy, where in the run it stands, and seed."""
        return stage_label(self.strategy.spec, self.where, self.seed)

    def material(self) -> Json:
        """Return the objective, the settings and the seed; student and pairs are in the inputs' keys."""
        return {
            **refine_material(objective(self.strategy), self.settings),
            "seed": round_seed(self.seed, self.round),
        }

    def prompts(self) -> int:
        """Training answers no prompt."""
        return 0

    def most_pairs(self) -> int:
        """Return how many pairs there can be: one a question."""
        paired = self.paired.stage
        return sum(len(source.questions) for source in paired.questions) if isinstance(paired, Pair) else 0

    def passes(self, pairs: int) -> float:
        """Return how many times so many pairs are gone over, less those held out; `patience` may end it before."""
        settings = self.settings
        kept = max(1, pairs - round(settings.validation * pairs))
        a_pass = math.ceil(kept / settings.batch_size)
        of_steps = settings.max_steps / a_pass
        return min(of_steps or settings.epochs, settings.epochs or of_steps) if pairs else 0.0

    def run(self, work: Work) -> Json:
        """Leave an adapter. Raises `RecipeError` if there is no pair, or the loss needs a side that pairs lack."""
        pairs = read_rows(work.artifact(self.paired).folder / PAIRS, PreferencePair)
        if not pairs:
            raise RecipeError(f"{self.strategy.spec} left no preference pair, so there is nothing to refine on")
        optimised = resolve_objective(objective(self.strategy), self.settings)
        alone = sum(not pair.rejected for pair in pairs)
        if alone and optimised.loss != ("sft",):
            raise RecipeError(
                f"{self.strategy.spec} gave {alone} answers to learn without one to reject, which"
                f" refine.loss={'+'.join(optimised.loss)} cannot train on; use --set refine.loss=sft"
            )
        with self.student.calling("refine"):
            report = self.student.made.refine(
                work.artifact(self.start).folder / ADAPTER,
                pairs,
                optimised,
                self.settings,
                out=work.folder / ADAPTER,
                scratch=work.scratch,
                seed=round_seed(self.seed, self.round),
                progress=work.progress,
            )
        info = training_info(work, self.student, "refine", report)
        return {"pairs": len(pairs), **info}
