"""Plugged-in parts as a run holds them: made once, fingerprinted once, their questions loaded and checked once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args

from sitkit.errors import DataError, PluginError, RecipeError, SettingError, SitkitError
from sitkit.select import Selection
from sitkit.settings import resolve
from sitkit.store import DISK_FULL, canonical
from sitkit.types import LETTERS, Benchmark, Json, Kind, Objective, Question, Reply, Split, Strategy, Student

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Part(Generic[PartT]):
    """A part by its kind and the name the user gave (``spec``), with whoever provided it, as keys need to know it."""

    kind: str
    spec: str
    made: PartT
    provider: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.spec} (of {self.provider['distribution']})"

    @contextlib.contextmanager
    def calling(self, method: str) -> Iterator[None]:
        """Guard a call into the part: whatever it raises that is not for the user becomes a `PluginError` naming it.

        Trouble with files passes, because a full disk is not the part's fault; trouble with the network does not.
        """
        try:
            yield
        except SitkitError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_FULL):
                raise
            text = " ".join(str(error).split())
            raise PluginError(f"{self}: {method} failed with {type(error).__name__}: {text}") from error

    def answers(self, method: str, given: Any) -> Iterator[tuple[str, str]]:
        """Yield what ``given`` yields, checked to be pairs of an id and a text. Raises `PluginError` otherwise."""
        with self.calling(method):
            found = iter(given)
        while True:
            with self.calling(method):
                try:
                    row = next(found)
                except StopIteration:
                    return
            if not (isinstance(row, tuple | list) and len(row) == 2 and all(isinstance(one, str) for one in row)):
                raise PluginError(f"{self}: {method} gave {row!r} in place of (id, text)")
            yield row[0], row[1]

    def replies(self, method: str, given: Any) -> Iterator[Reply]:
        """Yield what ``given`` yields as replies; a pair of an id and a text is an answer.

        Raises `PluginError` for anything else. Closing this closes ``given``.
        """
        with self.calling(method):
            found = iter(given)
        try:
            while True:
                with self.calling(method):
                    try:
                        row = next(found)
                    except StopIteration:
                        return
                if isinstance(row, tuple | list) and len(row) == 2 and all(isinstance(one, str) for one in row):
                    yield Reply(row[0], row[1])
                elif _is_reply(row):
                    yield row
                else:
                    raise PluginError(f"{self}: {method} gave {row!r} in place of (id, text) or a Reply")
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                close()

    @cached_property
    def fingerprint(self) -> Json:
        """What the part says determines what it makes, and where it comes from. Benchmarks say it by split."""
        with self.calling("fingerprint"):
            said = self.made.fingerprint()  # type: ignore[attr-defined]
            canonical(said)
        return {"part": said, "provider": dict(self.provider)}


def _is_reply(row: object) -> bool:
    return (
        isinstance(row, Reply)
        and all(isinstance(one, str) for one in (row.id, row.completion, row.outcome, row.detail, row.reasoning))
        and all(isinstance(one, int) and one >= 0 for one in (row.prompt_tokens, row.completion_tokens))
    )


def recommended(student: Part[Student]) -> Mapping[str, Mapping[str, Json]]:
    """Return what the student recommends. Raises `PluginError` if it recommends what there is no setting for."""
    with student.calling("recommended"):
        found = student.made.recommended()
    if not isinstance(found, Mapping) or not all(isinstance(keys, Mapping) for keys in found.values()):
        raise PluginError(f"{student}: recommended gave {found!r} in place of stage: {{key: value}}")
    try:
        resolve(found)
    except SettingError as error:
        raise PluginError(f"{student} recommends a setting that cannot be: {error}") from error
    return found


def objective(strategy: Part[Strategy]) -> Objective:
    """Return the strategy's objective. Raises `PluginError` if it is none."""
    with strategy.calling("objective"):
        found = strategy.made.objective()
    if not isinstance(found, Objective):
        raise PluginError(f"{strategy}: objective gave {type(found).__name__} in place of an Objective")
    named = isinstance(found.loss, tuple) and found.loss and all(isinstance(name, str) for name in found.loss)
    numbers = (*found.weights, found.beta)
    if not named or len(found.weights) != len(found.loss) or not all(0 < one < math.inf for one in numbers):
        raise PluginError(
            f"{strategy}: {found} is no objective: it takes loss names, a weight above 0 for each, and a beta above 0"
        )
    return found


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
        with self.benchmark.calling("fingerprint"):
            said = self.benchmark.made.fingerprint(self.split, self.seed)
            canonical(said)
        return {
            "benchmark": self.benchmark.spec,
            "split": self.split,
            "questions": said,
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
        with self.benchmark.calling("questions"):
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


def _check(benchmark: Part[Benchmark], questions: Iterable[Question]) -> None:
    if not isinstance(benchmark.made.domain, str) or not benchmark.made.domain:
        raise PluginError(f"{benchmark}: its domain is {benchmark.made.domain!r}, which is no name")
    seen: set[str] = set()
    for question in questions:
        if not isinstance(question, Question):
            raise PluginError(f"{benchmark}: questions gave {type(question).__name__} in place of a Question")
        where = f"{benchmark}, question {question.id!r}"
        if question.id in seen:
            raise PluginError(f"{where}: the id is given twice")
        if question.benchmark != benchmark.spec:
            raise PluginError(f"{where}: names the benchmark {question.benchmark!r}")
        if question.kind not in get_args(Kind):
            raise PluginError(f"{where}: the kind {question.kind!r} is none of {', '.join(get_args(Kind))}")
        if question.kind == "choice":
            letters = LETTERS[: len(question.choices or ())]
            if len(question.target) != 1 or question.target not in letters:
                raise PluginError(f"{where}: the target {question.target!r} is no letter of its options")
        seen.add(question.id)
