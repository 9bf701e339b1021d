"""Plugged-in components as a run holds them: each looked up and made once, its questions selected and checked once."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from sitkit.capabilities import Deduplicator, Divisible, Named, RecommendsSettings
from sitkit.conformance import (
    completion_fault,
    domain_fault,
    fingerprint_fault,
    objective_fault,
    questions_fault,
    reply_fault,
    tasks_fault,
)
from sitkit.errors import DataError, PluginError, RecipeError, SettingError, blamed
from sitkit.overlap import NGRAM, overlaps
from sitkit.registry import Registry
from sitkit.settings import resolve
from sitkit.spec import is_name, parse_spec
from sitkit.store import DISK_FULL, make_key
from sitkit.types import (
    PROMPTINGS,
    Benchmark,
    Completion,
    Json,
    Objective,
    Prompting,
    Question,
    Reply,
    Split,
    Strategy,
    Student,
    Teacher,
)


@dataclass(frozen=True)
class Selection:
    """``limit`` takes the first questions; ``fraction`` a random subset of those by ``seed``, nested: a smaller
    fraction's questions are among a larger one's (the low-resource experiments of Appendix C.1). ``skip`` leaves out
    the first questions before that."""

    limit: int | None
    fraction: float
    seed: int
    skip: int = 0

    def material(self) -> Json:
        """Return what determines the selection; the seed counts only where it changes anything."""
        material: dict[str, Json] = {"limit": self.limit}
        if self.fraction < 1:
            material |= {"fraction": self.fraction, "seed": self.seed}
        if self.skip:
            material["skip"] = self.skip
        return material

    def apply(self, questions: Sequence[Question]) -> list[Question]:
        """Return the selected questions in their own order. Raises `RecipeError` if none is left."""
        if self.skip >= len(questions):
            raise RecipeError(f"none of {len(questions)} training questions is left after the first {self.skip}")
        questions = questions[self.skip :]
        first = list(questions[: self.limit])
        if self.fraction < 1:
            chosen = self.drawn([question.id for question in first])
            first = [question for question in first if question.id in chosen]
        if not first:
            raise RecipeError(f"fraction {self.fraction:g} of {len(questions[: self.limit])} questions leaves none")
        return first

    def drawn(self, ids: Sequence[str]) -> set[str]:
        """Return the share of these question ids that the seed draws."""
        keep = math.floor(len(ids) * self.fraction + 0.5)
        return set(sorted(ids, key=lambda one: _rank(self.seed, one))[:keep])


def _rank(seed: int, question_id: str) -> bytes:
    return hashlib.sha256(f"{seed}|{question_id}".encode()).digest()


ComponentT = TypeVar("ComponentT")


@dataclass(frozen=True)
class Component(Generic[ComponentT]):
    """A part by its kind and the name the user gave (``spec``), with whoever provided it, as keys need to know it.

    ``source`` is the SPEC with an argument that a benchmark was made from; empty for one of a registered name.
    """

    kind: str
    spec: str
    made: ComponentT
    provider: Mapping[str, str]
    source: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.spec} (of {self.provider['distribution']})"

    def at(self, method: str) -> str:
        """Return who the part is and, where it is Python, the file and line of the method."""
        code = getattr(inspect.unwrap(getattr(type(self.made), method, None) or str), "__code__", None)
        return str(self) if code is None else f"{self}, {code.co_filename}:{code.co_firstlineno}"

    def refuse(self, method: str, fault: str | None) -> None:
        """Raise `PluginError` naming the part and its method where `sitkit.conformance` found a fault."""
        if fault is not None:
            raise PluginError(f"{self.at(method)}: {fault}")

    def close(self) -> None:
        """Free what the part holds. Raises `PluginError` if it cannot."""
        with self.calling("close"):
            self.made.close()  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def calling(self, method: str) -> Iterator[None]:
        """Guard a call into the part: whatever it raises that is not for the user becomes a `PluginError` naming it.

        Trouble with files passes, because a full disk is not the part's fault; trouble with the network does not.
        """
        with blamed(f"{self.at(method)}: {method}", passes=_is_file_trouble):
            yield

    def completions(self, method: str, given: Any) -> Iterator[Completion]:
        """Yield what ``given`` yields as completions; a pair of an id and a text is one that was not cut.

        Raises `PluginError` for anything else.
        """
        with self.calling(method):
            found = iter(given)
        while True:
            with self.calling(method):
                try:
                    row = next(found)
                except StopIteration:
                    return
            fault = completion_fault(row)
            self.refuse(method, fault and f"{method} {fault}")
            yield row if isinstance(row, Completion) else Completion(*row)

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
                fault = reply_fault(row)
                self.refuse(method, fault and f"{method} {fault}")
                yield row if isinstance(row, Reply) else Reply(row[0], row[1])
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                close()

    @cached_property
    def fingerprint(self) -> Json:
        """What the part says determines what it makes, and where it comes from. Benchmarks say it by split."""
        with self.calling("fingerprint"):
            said = self.made.fingerprint()  # type: ignore[attr-defined]
        self.refuse("fingerprint", fingerprint_fault(said))
        return {"part": said, "provider": dict(self.provider)}


def _is_file_trouble(error: BaseException) -> bool:
    return isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_FULL)


_AFTER_SAMPLING = frozenset({"sample", "pair", "refine", "explore"})
"""The stages a strategy may recommend settings for: those before them are shared by all strategies."""


def recommended(part: Component[Student] | Component[Strategy]) -> Mapping[str, Mapping[str, Json]]:
    """Return what a student, or a strategy, recommends; a strategy need not.

    Raises `PluginError` if it recommends what there is no setting for.
    """
    if part.kind == "strategy" and not isinstance(part.made, RecommendsSettings):
        return {}
    with part.calling("recommended"):
        found = part.made.recommended()  # type: ignore[union-attr]
    if not isinstance(found, Mapping) or not all(isinstance(keys, Mapping) for keys in found.values()):
        raise PluginError(f"{part}: recommended gave {found!r} in place of stage: {{key: value}}")
    if part.kind == "strategy" and not found.keys() <= _AFTER_SAMPLING:
        others = ", ".join(sorted(map(str, found.keys() - _AFTER_SAMPLING)))
        raise PluginError(f"{part} recommends settings of {others}, which is not a strategy's to say")
    try:
        with part.calling("recommended"):
            resolve(found)
    except SettingError as error:
        raise PluginError(f"{part} recommends a setting that is not valid: {error}") from error
    return found


def objective(strategy: Component[Strategy]) -> Objective:
    """Return the strategy's objective. Raises `PluginError` if it is none."""
    with strategy.calling("objective"):
        found = strategy.made.objective()
    strategy.refuse("objective", objective_fault(found))
    return found


@dataclass(frozen=True)
class QuestionSet:
    """One split of a benchmark, all of it or a selection; loaded when first needed, and only once."""

    benchmark: Component[Benchmark]
    split: Split
    seed: int
    selection: Selection | None = None
    left_out: frozenset[str] = frozenset()
    """The ids of questions of the split that are not taken, because they overlap with scored ones."""

    @cached_property
    def fingerprint(self) -> Json:
        """What determines the whole split's questions."""
        with self.benchmark.calling("fingerprint"):
            said = self.benchmark.made.fingerprint(self.split, self.seed)
        self.benchmark.refuse("fingerprint", fingerprint_fault(said))
        return {
            "benchmark": self.benchmark.spec,
            "split": self.split,
            "questions": said,
            "provider": dict(self.benchmark.provider),
        }

    def material(self) -> Json:
        """Return what determines the questions taken."""
        chosen = None if self.selection is None else self.selection.material()
        # What is left out for nothing changes no key.
        less = {"left_out": make_key(sorted(self.left_out))} if self.left_out else {}
        return {**self.fingerprint, "selection": chosen, **less}

    @cached_property
    def questions(self) -> list[Question]:
        """The questions taken. Raises `DataError` if there is none, `PluginError` if they make no sense."""
        name = self.benchmark.spec
        with self.benchmark.calling("questions"):
            questions = list(self.benchmark.made.questions(self.split, self.seed))
        if not questions:
            made = self.benchmark.made
            understood = f"; understood: {made.understood()}" if isinstance(made, Divisible) else ""
            raise DataError(f"{name} has no {self.split} questions{understood}")
        with self.benchmark.calling("domain"):
            domain = self.benchmark.made.domain
        self.benchmark.refuse("domain", domain_fault(domain))
        self.benchmark.refuse("questions", questions_fault(questions, name))
        questions = [question for question in questions if question.id not in self.left_out]
        if self.selection is None:
            return questions
        try:
            return self.selection.apply(questions)
        except RecipeError as error:
            raise RecipeError(f"{name}: {error}") from error


def task_name(benchmark: Component[Benchmark], prompting: Prompting) -> str:
    """Return the lm-eval task of a benchmark under one prompting. Raises `PluginError` if it names none."""
    with benchmark.calling("task"):
        named = {each: benchmark.made.task(each) for each in PROMPTINGS}
    benchmark.refuse("task", tasks_fault(named))
    return named[prompting]


@dataclass
class Components:
    """Components and question sets by name.

    ``questions`` are the SPECs of the benchmarks that are a user's own, ``scored`` are the names of those that a run
    scores: what is among their test questions is left out of own training questions. ``drop_contaminated`` leaves out
    all training questions that overlap with scored ones in ``ngram`` words in a row.
    """

    registry: Registry
    data_dir: Path | None
    drop_duplicates: bool
    questions: Mapping[str, str] = field(default_factory=dict)
    scored: tuple[str, ...] = ()
    drop_contaminated: bool = False
    ngram: int = NGRAM
    benchmarks: dict[str, Component[Benchmark]] = field(default_factory=dict)
    deduplicated: dict[tuple[str, int], Component[Benchmark]] = field(default_factory=dict)
    contaminated: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    sets: dict[tuple[object, ...], QuestionSet] = field(default_factory=dict)

    def _component(self, kind: str, name: str, spec: str, made: ComponentT) -> Component[ComponentT]:
        return Component(kind, spec, made, self.registry.component(kind, name).provider.as_json())

    def teacher(self, spec: str) -> Component[Teacher]:
        """Make a teacher."""
        parsed = parse_spec(spec)
        return self._component("teacher", parsed.name, spec, self.registry.teacher(parsed, self.data_dir))

    def student(self, spec: str) -> Component[Student]:
        """Make a student."""
        parsed = parse_spec(spec)
        return self._component("student", parsed.name, spec, self.registry.student(parsed, self.data_dir))

    def strategy(self, spec: str) -> Component[Strategy]:
        """Make a strategy."""
        parsed = parse_spec(spec)
        return self._component("strategy", parsed.name, spec, self.registry.strategy(parsed, self.data_dir))

    def benchmark(self, name: str) -> Component[Benchmark]:
        """Return a benchmark."""
        if name not in self.benchmarks:
            self.benchmarks[name] = benchmark_component(self.registry, name, self.data_dir, self.questions)
        return self.benchmarks[name]

    def trained(self, name: str, seed: int) -> Component[Benchmark]:
        """Return the benchmark as it is trained on; its test split stays whole, and shared with other runs."""
        found = self.benchmark(name)
        if not self.drop_duplicates and not isinstance(found.made, Divisible):
            return found
        if (name, seed) not in self.deduplicated:
            made = without_duplicates(name, found.made) if self.drop_duplicates else found.made
            if isinstance(made, Divisible):
                others = [other for other in self.scored if self.drop_duplicates or other in self.questions]
                with found.calling("without"):
                    made = made.without([one for other in others for one in self.test(other, seed).questions])
            self.deduplicated[name, seed] = replace(found, made=made)
        return self.deduplicated[name, seed]

    def train(self, name: str, seed: int, selection: Selection) -> QuestionSet:
        """Return the training questions taken."""
        key = (name, "train", seed, selection)
        if key not in self.sets:
            unwanted = self._contaminated(name, seed) if self.drop_contaminated else frozenset[str]()
            self.sets[key] = QuestionSet(self.trained(name, seed), "train", seed, selection, unwanted)
        return self.sets[key]

    def _contaminated(self, name: str, seed: int) -> frozenset[str]:
        if (name, seed) not in self.contaminated:
            trained = QuestionSet(self.trained(name, seed), "train", seed).questions
            scored = [question for other in self.scored for question in self.test(other, seed).questions]
            found = overlaps(trained, scored, self.ngram)
            self.contaminated[name, seed] = frozenset(one.id for overlap in found for one in overlap.trained)
        return self.contaminated[name, seed]

    def test(self, name: str, seed: int, limit: int | None = None) -> QuestionSet:
        """Return the test questions: all of them, or the first ones."""
        selection = None if limit is None else Selection(limit, 1.0, 0)
        key = (name, "test", seed, selection)
        return self.sets.setdefault(key, QuestionSet(self.benchmark(name), "test", seed, selection))


def benchmark_component(
    registry: Registry, name: str, data_dir: Path | None, questions: Mapping[str, str] | None = None
) -> Component[Benchmark]:
    """Make the benchmark of that name: a registered one, or the one that a SPEC among ``questions`` makes.

    Raises as `Registry.benchmark` does, and `RecipeError` if the SPEC makes a benchmark of another name.
    """
    source = (questions or {}).get(name, "")
    made = registry.benchmark(source or name, data_dir)
    provider = registry.component("benchmark", parse_spec(source).name if source else name).provider
    found = Component("benchmark", name, made, provider.as_json(), source)
    if source and own_name(found) != name:
        raise RecipeError(f"questions: {name}: {source} calls itself {own_name(found)!r}; use that name")
    return found


def own_name(benchmark: Component[Benchmark]) -> str:
    """Return what a benchmark made from a SPEC calls itself. Raises `PluginError` if it does not."""
    made = benchmark.made
    if not isinstance(made, Named) or not is_name(made.name):
        raise PluginError(f"{benchmark}: it has no name that could stand in a table (its attribute name)")
    return made.name


def without_duplicates(name: str, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark without leaked training questions. Raises `RecipeError` if it does not offer that."""
    if not isinstance(benchmark, Deduplicator):
        raise RecipeError(f"{name} cannot drop duplicates: its plugin does not offer it")
    return benchmark.without_duplicates()
