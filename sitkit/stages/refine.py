"""Refine: preference optimisation from a student that is also the frozen reference (section 2.2).

It is the instructed student, and from the second round on the student that the round before has made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sitkit.components import Component, objective
from sitkit.errors import RecipeError
from sitkit.settings import EvaluateSettings, RefineSettings
from sitkit.stages.base import Node, Work, round_seed, stage_label
from sitkit.stages.pair import PAIRS, Pair
from sitkit.stages.training import ADAPTER, refine_material, resolve_objective, training_info
from sitkit.stages.watch import ask, faults, metrics, watched_questions
from sitkit.store.jsonl import read_rows
from sitkit.types import Json, PreferencePair, Question, Strategy, Student


@dataclass(frozen=True, eq=False)
class Refine:
    """One refined student."""

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 3

    student: Component[Student]
    strategy: Component[Strategy]
    start: Node
    paired: Node
    settings: RefineSettings
    seed: int
    where: str = ""
    round: int = 0
    answered: EvaluateSettings = field(default_factory=EvaluateSettings)
    """How watched questions are answered."""

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
        watched = {"watched": [self.answered.max_new_tokens, self.answered.match]} if self.settings.watch else {}
        return {
            **refine_material(objective(self.strategy), self.settings),
            "seed": round_seed(self.seed, self.round),
            **watched,
        }

    def prompts(self) -> int:
        """Return how many answers to watched questions are taken, before and after; training answers no prompt."""
        return 2 * len(self._watched())

    def expected_pairs(self) -> int:
        """Return how many pairs there are if each question gives one; strategies may take several, or none."""
        return len(self._questions()) - len(self._watched())

    def passes(self, pairs: int) -> float:
        """Return how many times so many pairs are gone over, less those held out; `patience` may end it before."""
        settings = self.settings
        kept = max(1, pairs - round(settings.validation * pairs))
        a_pass = math.ceil(kept / settings.batch_size)
        of_steps = settings.max_steps / a_pass
        return min(of_steps or settings.epochs, settings.epochs or of_steps) if pairs else 0.0

    def run(self, work: Work) -> Json:
        """Leave an adapter. Raises `RecipeError` if there is no pair, or the loss needs a side that pairs lack."""
        watched = self._watched()
        if len(watched) < self.settings.watch:
            work.notice(f"{self.label()}: {len(watched)} questions are watched, half of them all (refine.watch)")
        kept_out = {(one.benchmark, one.id) for one in watched}
        pairs = [
            pair
            for pair in read_rows(work.artifact(self.paired).folder / PAIRS, PreferencePair)
            if (pair.benchmark, pair.question_id) not in kept_out
        ]
        if not pairs:
            raise RecipeError(f"{self.strategy.spec} left no preference pair, so there is nothing to refine on")
        optimised = resolve_objective(objective(self.strategy), self.settings)
        alone = sum(not pair.rejected for pair in pairs)
        if alone and optimised.loss != ("sft",):
            raise RecipeError(
                f"{self.strategy.spec} gave {alone} answers to learn without one to reject, which"
                f" refine.loss={'+'.join(optimised.loss)} cannot train on; use --set refine.loss=sft"
            )
        start = work.artifact(self.start).folder / ADAPTER
        before = ask(work, self.student, "before", start, watched, self.answered) if watched else None
        with self.student.calling("refine"):
            report = self.student.made.refine(
                start,
                pairs,
                optimised,
                self.settings,
                out=work.folder / ADAPTER,
                scratch=work.scratch,
                seed=round_seed(self.seed, self.round),
                progress=work.progress,
            )
        info = training_info(work, self.student, "refine", report)
        if before is not None:
            after = ask(work, self.student, "after", work.folder / ADAPTER, watched, self.answered)
            info["metrics"].update(metrics(before, after))
            for fault in faults(before, after):
                work.notice(
                    f"{self.label()}: of {len(watched)} training questions kept out of refining (refine.watch) {fault}:"
                    " lower refine.learning_rate, or add an sft term (refine.loss=sigmoid+sft)"
                )
        return {"pairs": len(pairs), **info}

    def _watched(self) -> list[Question]:
        return watched_questions(self._questions(), self.settings.watch) if self.settings.watch else []

    def _questions(self) -> list[Question]:
        paired = self.paired.stage
        return [one for source in paired.questions for one in source.questions] if isinstance(paired, Pair) else []
