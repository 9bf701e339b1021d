"""Refine without pairs: the student learns from answers that it writes meanwhile, by a reward or by a teacher.

It stands where sample, pair and refine stand otherwise, and its artifacts lie where those of refine lie: it leaves the
refined student of an arm.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from sitkit import answers as reader
from sitkit.capabilities import DistillationStrategy, DistillingStudent, ExploringStudent, RewardStrategy
from sitkit.components import Component, QuestionSet
from sitkit.conformance import distillation_fault, reward_fault
from sitkit.errors import RecipeError, SettingError
from sitkit.settings import ExploreSettings, Settings, key_material
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.training import ADAPTER, training_info
from sitkit.types import Distillation, Json, Reward, Strategy, Student, Teacher


@dataclass(frozen=True, eq=False)
class Explore:
    """One student refined online, on all of its ``questions``; ``teacher`` is there where it is distilled from."""

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 3

    student: Component[Student]
    strategy: Component[Strategy]
    start: Node
    questions: tuple[QuestionSet, ...]
    settings: ExploreSettings
    seed: int
    where: str = ""
    teacher: Component[Teacher] | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The student it starts from."""
        return (self.start,)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student, and the teacher where there is one."""
        return (self.student,) if self.teacher is None else (self.student, self.teacher)

    def label(self) -> str:
        """Return strategy, where in the run it stands, and seed."""
        return stage_label(self.strategy.spec, self.where, self.seed)

    def material(self) -> Json:
        """Return the questions, the strategy, what it optimises, and the seed; the student is in the input's key."""
        settings = key_material(self.settings)
        if self.teacher is None:
            optimised: Json = {"reward": dict(reward_of(self.strategy).weights), "reader": reader.READER_VERSION}
        else:
            optimised = {
                "distillation": asdict(distillation_of(self.strategy)), "teacher": self.teacher.fingerprint
            }  # fmt: skip
            settings = {name: value for name, value in settings.items() if name not in ("beta", "loss")}
        return {
            "strategy": self.strategy.fingerprint,
            "questions": [one.material() for one in self.questions],
            "optimised": optimised,
            "settings": settings,
            "seed": self.seed,
        }

    def prompts(self) -> int:
        """Return how many answers the student writes."""
        return self.settings.steps * self.settings.prompts * self.settings.samples

    def run(self, work: Work) -> Json:
        """Leave an adapter, and in the training's log what answers were worth, step by step."""
        questions = [question for source in self.questions for question in source.questions]
        shared: dict[str, Any] = {
            "out": work.folder / ADAPTER,
            "scratch": work.scratch,
            "seed": self.seed,
            "progress": work.progress,
        }
        start, student = work.artifact(self.start).folder / ADAPTER, self.student.made
        method = "explore" if self.teacher is None else "distil"
        with self.student.calling(method):
            if self.teacher is None:
                exploring = cast(ExploringStudent, student)
                report = exploring.explore(start, questions, reward_of(self.strategy), self.settings, **shared)
            else:
                distilling, optimised = cast(DistillingStudent, student), distillation_of(self.strategy)
                report = distilling.distil(start, questions, self.teacher.made, optimised, self.settings, **shared)
        info = training_info(work, self.student, method, report)
        return {"questions": len(questions), "completions": self.prompts(), **info}


def is_online(strategy: Component[Strategy]) -> bool:
    """Tell whether a strategy has no pairs, because its student learns from what it writes meanwhile."""
    return isinstance(strategy.made, RewardStrategy | DistillationStrategy)


def is_distilled(strategy: Component[Strategy]) -> bool:
    """Tell whether it is a teacher that the student learns from meanwhile."""
    return isinstance(strategy.made, DistillationStrategy)


def reward_of(strategy: Component[Strategy]) -> Reward:
    """Return the reward of a strategy that has one. Raises `PluginError` if it is none."""
    with strategy.calling("reward"):
        found = cast(RewardStrategy, strategy.made).reward()
    strategy.refuse("reward", reward_fault(found))
    return found


def distillation_of(strategy: Component[Strategy]) -> Distillation:
    """Return what a strategy that distils optimises. Raises `PluginError` if it is nothing."""
    with strategy.calling("distillation"):
        found = cast(DistillationStrategy, strategy.made).distillation()
    strategy.refuse("distillation", distillation_fault(found))
    return found


def check_online(
    student: Component[Student],
    strategy: Component[Strategy],
    teachers: tuple[Component[Teacher], ...],
    settings: Settings,
) -> None:
    """Raise `RecipeError` or `SettingError` where a strategy without pairs cannot be had like this."""
    name = strategy.spec
    if is_distilled(strategy):
        distillation_of(strategy)
        if not isinstance(student.made, DistillingStudent):
            raise RecipeError(f"{name} needs a student that can be distilled into, such as hf; {student.spec} cannot")
        for teacher in teachers:
            with student.calling("check_teacher"):
                try:
                    student.made.check_teacher(teacher.made)
                except SettingError as error:
                    raise SettingError(f"{name}: the teacher {teacher.spec}: {error}") from error
    else:
        reward_of(strategy)
        if not isinstance(student.made, ExploringStudent):
            raise RecipeError(f"{name} needs a student that can explore, such as hf; {student.spec} cannot")
        if settings.explore.samples < 2:
            raise SettingError(
                f"explore.samples={settings.explore.samples}: {name} compares the answers to a question with each"
                " other and needs 2 or more"
            )
    if settings.refine.rounds > 1:
        raise SettingError(
            f"refine.rounds={settings.refine.rounds}: {name} draws new answers at every step and has no rounds;"
            " explore.steps says how long it learns"
        )
