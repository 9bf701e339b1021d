"""A user's own questions as a benchmark: ``file:PATH``."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from sitkit.errors import SpecError
from sitkit.spec import Spec
from sitkit.types import Benchmark, Json, Prompting, Question, Split
from sitkit_benchmarks.benchmark import MATH_INSTRUCTION, Parsed, choice_instruction
from sitkit_benchmarks.identity import lines
from sitkit_benchmarks.rows import Row, read_rows
from sitkit_benchmarks.understand import Understood, understand

HELD_OUT = 0.1
"""The share of a file's questions that are the test where a run trains on it and scores it."""

_OPTIONS = ("question", "choices", "target", "solution", "id", "kind", "name", "test")
_SPLIT_WORDS = {"train", "training", "test", "testing", "dev", "valid", "validation", "val", "eval"}
_SUFFIX = re.compile(r"\.(jsonl|json|csv|parquet)(\.gz)?$", re.IGNORECASE)


class OwnBenchmark:
    """Questions of a file."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._told = spec.parse_options(dict.fromkeys(_OPTIONS, str))
        self._path = Path(spec.require_argument("the path of a file of questions")).expanduser().absolute()
        self._unwanted: frozenset[tuple[str, frozenset[str]]] = frozenset()
        self.name = str(self._told.get("name") or _name(self._path))
        self.domain = "qa" if self._understood.kind == "choice" else "math"

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return a digest of the split's questions: where they lie, and in what format, does not matter."""
        digest = hashlib.sha256(repr(self.questions(split, seed)).encode("utf-8"))
        return {"questions": digest.hexdigest()}

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions of the split in the file's order. Raises `DataError` naming file, line and field."""
        return self._splits[split]

    def task(self, prompting: Prompting) -> str:
        """Return the name of the lm-eval task that sitkit writes for them."""
        return f"sit_{self.name}_{prompting}"

    def default_teacher(self) -> str:
        """Return the teacher of worked solutions, which says so where there are none."""
        return "gold"

    def identity(self, question: Question) -> tuple[str, frozenset[str]]:
        """Return what two equal questions share."""
        return lines(question.question), frozenset(lines(text) for text in question.choices or ())

    def divided(self, *, trained: bool, scored: bool) -> str:
        """Return the SPEC of these questions for one use, or with a share held out for both."""
        test = self._told.get("test")
        if test is None:
            test = f"{HELD_OUT if trained and scored else int(scored)}"
        return self._text(test)

    def with_test(self, test: Benchmark) -> str:
        """Return the SPEC that has another file's questions as its test."""
        if not isinstance(test, OwnBenchmark):
            raise SpecError(f"{self._spec} and {test} cannot be one benchmark")
        return self._text(str(test._path))

    def without(self, questions: Iterable[Question]) -> Benchmark:
        """Return the benchmark without the training questions that are among these."""
        other = copy.copy(self)
        other.__dict__.pop("_splits", None)
        other._unwanted = frozenset(map(self.identity, questions))
        return other

    def without_duplicates(self) -> Benchmark:
        """Return this benchmark: no training question stands in its test."""
        return self

    def _text(self, test: object) -> str:
        options = {key: str(value) for key, value in self._told.items()} | {"test": str(test)}
        return str(Spec(self._spec.name, str(self._path), options))

    @cached_property
    def _sources(self) -> list[tuple[Split | None, Row]]:
        test = self._told.get("test")
        rows: list[tuple[Split | None, Row]] = [(None, row) for row in read_rows(self._path)]
        if test is not None and self._share is None:
            rows = [("train", row) for _, row in rows]
            rows += [("test", row) for row in read_rows(Path(str(test)).expanduser())]
        return rows

    @cached_property
    def _share(self) -> float | None:
        try:
            return float(str(self._told.get("test", HELD_OUT)))
        except ValueError:
            return None

    @cached_property
    def _understood(self) -> Understood:
        return understand([row for _, row in self._sources], {k: str(v) for k, v in self._told.items()}, self.name)

    @cached_property
    def _splits(self) -> Mapping[Split, Sequence[Question]]:
        found: dict[Split, list[Question]] = {"train": [], "test": []}
        for (told, _), parsed in zip(self._sources, self._understood.parsed, strict=True):
            split = told or ("test" if _rank(parsed.question) < (self._share or 0) else "train")
            found[split].append(self._question(split, parsed))
        tested = {self.identity(question) for question in found["test"]} | self._unwanted
        found["train"] = [question for question in found["train"] if self.identity(question) not in tested]
        return found

    def _question(self, split: Split, parsed: Parsed) -> Question:
        content = json.dumps([lines(parsed.question), parsed.choices])
        return Question(
            id=f"{self.name}/{split}/{hashlib.sha256(content.encode()).hexdigest()[:12]}",
            benchmark=self.name,
            kind=self._understood.kind,
            instruction=MATH_INSTRUCTION if parsed.choices is None else choice_instruction(len(parsed.choices)),
            question=parsed.question,
            choices=parsed.choices,
            target=parsed.target,
            solution=parsed.solution,
        )


def _rank(question: str) -> float:
    """A number from 0 to 1 that depends on the question's text alone, so that added rows move no other."""
    return int.from_bytes(hashlib.sha256(lines(question).encode()).digest()[:8], "big") / 2**64


def _name(path: Path) -> str:
    words = re.split(r"[-_.\s]+", _SUFFIX.sub("", path.name))
    name = _SUFFIX.sub("", path.name)
    if not [word for word in words if word.lower() not in _SPLIT_WORDS]:
        name = path.parent.name
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.") or "questions"
