"""Plugged-in parts as a run holds them: made once, fingerprinted once, their questions loaded and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from sitkit.errors import DataError, PluginError, RecipeError
from sitkit.select import Selection
from sitkit.types import LETTERS, Benchmark, Json, Question, Split

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Part(Generic[PartT]):
    """A part by the name the user gave (``spec``), with whoever provided it, as keys need to know it."""

    spec: str
    made: PartT
    provider: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.spec} (of {self.provider['distribution']})"


@dataclass(frozen=True)
class QuestionSet:
    """One split of a benchmark, all of it or a selection; loaded when first needed, and only once."""

    benchmark: Part[Benchmark]
    split: Split
    seed: int
    selection: Selection | None = None

    @cached_property
    def fingerprint(self) -> Json:
        """What determines the whole split's questions."""
        return {
            "benchmark": self.benchmark.spec,
            "split": self.split,
            "questions": self.benchmark.made.fingerprint(self.split, self.seed),
            "provider": dict(self.benchmark.provider),
        }

    def material(self) -> Json:
        """Return what determines the questions taken."""
        chosen = None if self.selection is None else self.selection.material()
        return {**self.fingerprint, "selection": chosen}

    @cached_property
    def questions(self) -> list[Question]:
        """The questions taken. Raises `DataError` if there is none, `PluginError` if they make no sense."""
        name = self.benchmark.spec
        questions = list(self.benchmark.made.questions(self.split, self.seed))
        if not questions:
            raise DataError(f"{name} has no {self.split} questions")
        _check(self.benchmark, questions)
        if self.selection is None:
            return questions
        try:
            return self.selection.apply(questions)
        except RecipeError as error:
            raise RecipeError(f"{name}: {error}") from error


def _check(benchmark: Part[Benchmark], questions: list[Question]) -> None:
    seen: set[str] = set()
    for question in questions:
        where = f"benchmark {benchmark}, question {getattr(question, 'id', question)!r}"
        if not isinstance(question, Question):
            raise PluginError(f"benchmark {benchmark} gave {type(question).__name__} in place of a Question")
        if question.id in seen:
            raise PluginError(f"{where}: the id is given twice")
        if question.benchmark != benchmark.spec:
            raise PluginError(f"{where}: names the benchmark {question.benchmark!r}")
        if question.kind == "choice":
            letters = LETTERS[: len(question.choices or ())]
            if len(question.target) != 1 or question.target not in letters:
                raise PluginError(f"{where}: the target {question.target!r} is no letter of its options")
        seen.add(question.id)
