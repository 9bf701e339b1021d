"""Instruct: the student is fine-tuned on the demonstrations (section 2.1, 3.2.1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from sitkit.answers.thinking import OPENS
from sitkit.components import Component, Selection
from sitkit.errors import RecipeError
from sitkit.settings import InstructSettings, key_material
from sitkit.stages.annotate import CUT_OFF, WRONG, Taken, kept_demonstrations
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.training import ADAPTER, training_info
from sitkit.types import Json, Student


@dataclass(frozen=True, eq=False)
class Instruct:
    """One instructed student."""

    name: ClassVar[str] = "instruct"
    version: ClassVar[int] = 1

    student: Component[Student]
    demonstrations: tuple[Node, ...]
    taken: Taken
    settings: InstructSettings
    seed: int
    where: str = ""
    share: Selection | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The demonstrations."""
        return self.demonstrations

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return where in the run it stands, and the seed."""
        return stage_label("", self.where, self.seed)

    def material(self) -> Json:
        """Return student, settings, seed, and the share of the demonstrations where it is one."""
        return {
            "student": self.student.fingerprint,
            **self.taken.material(),
            "settings": key_material(self.settings),
            "seed": self.seed,
            **({} if self.share is None else {"share": self.share.material()}),
        }

    def prompts(self) -> int:
        """Training answers no prompt."""
        return 0

    def run(self, work: Work) -> Json:
        """Leave an adapter; one that changes nothing where there is no teacher to learn from.

        Raises `RecipeError` if no demonstration is left to train on.
        """
        kept, dropped = kept_demonstrations(work, self.demonstrations, self.taken, self.share)
        if self.demonstrations and not kept and not dropped:
            raise RecipeError("the teacher answered no question, so there is nothing to train on")
        if self.demonstrations and not kept:
            raise RecipeError(_nothing_left(dropped))
        silent = sum(not one.completion.startswith(OPENS) for one in kept)
        if self.taken.reasoning == "keep" and silent:
            work.notice(
                f"annotate.reasoning=keep: {silent} of {len(kept)} demonstrations have none: the teacher told none"
            )
        with self.student.calling("instruct"):
            report = self.student.made.instruct(
                kept,
                self.settings,
                out=work.folder / ADAPTER,
                scratch=work.scratch,
                seed=self.seed,
                progress=work.progress,
            )
        info = training_info(work, self.student, "instruct", report)
        return {"demonstrations": len(kept), "dropped": dropped.total(), **info}


def _nothing_left(dropped: Counter[str]) -> str:
    why = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    helps = {
        CUT_OFF: "a larger annotate.max_new_tokens gives answers room to end",
        WRONG: "--set annotate.keep=all trains on wrong ones",
    }
    hints = "; ".join(text for reason, text in helps.items() if dropped[reason])
    return f"none of the teacher's {dropped.total()} demonstrations can be trained on ({why})" + (
        hints and f"; {hints}"
    )
