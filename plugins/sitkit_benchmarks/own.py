"""A user's own questions as a benchmark: ``file:PATH`` and ``hub:ORG/NAME``.

Where a run both trains on them and scores them, and nothing says which are the test, a share is held out by a rule:
a question is in the test by the digest of its own text, so that rows that are added move no other.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, get_args

from sitkit.errors import DataError, SpecError
from sitkit.spec import Spec, is_name, number, one_of
from sitkit.types import Benchmark, Json, Kind, Prompting, Question, Split
from sitkit_benchmarks.benchmark import Parsed
from sitkit_benchmarks.identity import lines
from sitkit_benchmarks.rows import Row, read_any_rows
from sitkit_benchmarks.source import hub_splits
from sitkit_benchmarks.understand import READINGS, understand

HELD_OUT = 0.1
"""The share of the questions that are the test where a run trains on them and scores them."""

_SPLIT_WORDS = {"train", "training", "test", "testing", "dev", "valid", "validation", "val", "eval"}
_ENDING = re.compile(r"\.(jsonl|json|csv|tsv|parquet)(\.gz)?$", re.IGNORECASE)
_SHARE = re.compile(r"[0-9.]+(e-?[0-9]+)?")


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("expected a letter or digit, then letters, digits, '_', '.' and '-'")
    return text


_OPTIONS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(("question", "choices", "target", "solution", "id", "test"), str),
    "kind": one_of(*get_args(Kind)),
    "target_as": one_of(*READINGS),
    "name": _name,
}


class Place(Protocol):
    """Where questions lie."""

    def rows(self) -> Sequence[Row]:
        """Return them in order. Raises `DataError`."""

    def spec(self) -> Spec:
        """Return the SPEC that names the place from anywhere, without how it is read."""

    def title(self) -> str:
        """Return a name for a benchmark of these questions, without anything of this machine."""

    def place(self) -> str:
        """Return what ``test=`` calls it."""

    def other(self, name: str) -> Place:
        """Return the place that ``test=`` names."""


@dataclass(frozen=True)
class FilePlace:
    """A file, opened for reading alone."""

    path: Path

    @classmethod
    def of(cls, text: str) -> FilePlace:
        """Return the file of a path as a user writes it, from wherever the program runs."""
        # Not resolved: a user knows a link by its own name.
        return cls(Path(os.path.abspath(Path(text).expanduser())))  # noqa: PTH100

    def rows(self) -> Sequence[Row]:
        """Return its rows, read once for as long as it does not change."""
        try:
            state = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error
        return _file_rows(self.path, state.st_mtime_ns, state.st_size)

    def spec(self) -> Spec:
        """Return ``file:PATH``."""
        return Spec("file", str(self.path))

    def place(self) -> str:
        """Return its path."""
        return str(self.path)

    def title(self) -> str:
        """Return the file's name, or its folder's where that says no more than a split does ("train.jsonl")."""
        stem = _ENDING.sub("", self.path.name)
        if all(word.lower() in _SPLIT_WORDS for word in re.split(r"[-_.\s]+", stem)):
            parent = self.path.parent
            # A home folder is called as its user is.
            stem = "" if parent in (Path.home(), parent.parent) else parent.name
        return stem

    def other(self, name: str) -> Place:
        """Return the file of that path."""
        return FilePlace.of(name)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class HubPlace:
    """A split of a data set on the Hugging Face hub."""

    hub_id: str
    config: str | None
    revision: str | None
    split: str

    def rows(self) -> Sequence[Row]:
        """Return its rows, loaded once."""
        return _hub_rows(self)

    def spec(self) -> Spec:
        """Return ``hub:ORG/NAME`` with what pins it."""
        told = {"config": self.config, "revision": self.revision, "split": self.split}
        return Spec("hub", self.hub_id, {key: value for key, value in told.items() if value is not None})

    def place(self) -> str:
        """Return the split, which is what ``test=`` may name."""
        return self.split

    def title(self) -> str:
        """Return the data set's name, and that of its config."""
        name = self.hub_id.rpartition("/")[2]
        return name if self.config in (None, "default", "main") else f"{name}-{self.config}"

    def other(self, name: str) -> Place:
        """Return the split of that name."""
        return replace(self, split=name)

    def __str__(self) -> str:
        return f"hub:{self.hub_id}, split {self.split}"


def file_benchmark(spec: Spec) -> Benchmark:
    """Return the benchmark of ``file:PATH``. Raises `SpecError`, `DataError`."""
    told = _told(spec, {})
    return OwnBenchmark(FilePlace.of(spec.require_argument("the path of a file of questions")), told)


def hub_benchmark(spec: Spec) -> Benchmark:
    """Return the benchmark of ``hub:ORG/NAME``. Raises `SpecError`, `DataError`."""
    told = _told(spec, dict.fromkeys(("config", "revision", "split"), str))
    hub_id = spec.require_argument("the id of a data set")
    config, revision, split = (told.pop(key, None) for key in ("config", "revision", "split"))
    if split is not None:
        return OwnBenchmark(HubPlace(hub_id, config, revision, split), told)
    names = list(_hub_splits(hub_id, config, revision))
    place = HubPlace(hub_id, config, revision, names[0] if len(names) == 1 else "train")
    tests = [place.other(name) for name in ("test", "validation") if name in names and name != place.split]
    return OwnBenchmark(place, told, tests[0] if tests and "test" not in told else None)


def _told(spec: Spec, more: Mapping[str, Callable[[str], str]]) -> dict[str, str]:
    found = {key: str(value) for key, value in spec.parse_options({**_OPTIONS, **more}).items()}
    if _SHARE.fullmatch(found.get("test", "")):
        replace(spec, options={"test": found["test"]}).parse_options({"test": number(low=0, high=1)})
    return found


class OwnBenchmark:
    """Questions of a place, and of another for the test: the one that the option ``test`` names, or ``usual``.

    ``told`` are the options of its SPEC.
    """

    def __init__(self, place: Place, told: Mapping[str, str], usual: Place | None = None) -> None:
        self._place, self._told, self._usual = place, told, usual
        self._left_out = 0
        test = told.get("test", str(HELD_OUT))
        self._share = float(test) if _SHARE.fullmatch(test) and usual is None else None
        self._tested = usual if usual or self._share is not None else place.other(test)
        self.name = told.get("name") or re.sub(r"[^A-Za-z0-9_.-]+", "-", place.title()).strip("-_.") or "questions"
        rows = [*place.rows(), *(self._tested.rows() if self._tested else ())]
        where = str(place) if self._tested is None else f"{place} and {self._tested}"
        self._understood = understand(rows, told, where)
        self._splits = self._divided()
        self.domain = "qa" if self._understood.kind == "choice" else "math"

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return a digest of the split's questions: where they lie, and in what format, does not matter."""
        rows = [
            (one.id, one.kind, one.instruction, one.question, one.choices, one.target, one.solution)
            for one in self._splits[split]
        ]
        return {"questions": hashlib.sha256(json.dumps(rows).encode()).hexdigest()}

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions of the split in their own order."""
        return self._splits[split]

    def task(self, prompting: Prompting) -> str:
        """Return the name of the lm-eval task that sitkit writes for them."""
        return f"sit_{self.name}_{prompting}"

    def default_teacher(self) -> str:
        """Return the teacher of worked solutions, which says so where there are none."""
        return "gold"

    def pool(self, split: Split) -> Sequence[Question]:
        """Return the questions of the split: nothing is drawn from them."""
        return self._splits[split]

    def origin(self, split: Split) -> str:
        """Return where the rows come from."""
        return str(self._tested if split == "test" and self._tested else self._place)

    def paper(self, split: Split) -> Mapping[str, int]:
        """Return {}: the paper knows nothing of them."""
        return {}

    def identity(self, question: Question) -> tuple[str, frozenset[str]]:
        """Return what two equal questions share: both without case and runs of white space."""
        return lines(question.question), frozenset(lines(text) for text in question.choices or ())

    def understood(self) -> str:
        """Return in one line what the rows were taken for, and how they are divided."""
        found = self._understood
        fields = [f"{role}={name}" for role, name in found.fields.items()]
        if found.reading:
            fields.append(f"target_as={found.reading}")
        shared = self._share is not None and 0 < self._share < 1
        counts = [f"{len(part):,} to {split} on" for split, part in self._splits.items() if part or shared]
        other = "" if all(self._splits.values()) else "; another share may leave some"
        rule = f" (test={self._share:g}, held out by their text{other})" if shared else ""
        left = f"; {self._left_out:,} left out of training that are test questions too" if self._left_out else ""
        return f"{self.name}: kind {found.kind}; {', '.join(fields)}; {', '.join(counts)}{rule}{left}"

    def left_out(self) -> int:
        """Return how many training questions `without` has left out."""
        return self._left_out

    def divided(self, *, trained: bool, scored: bool) -> str:
        """Return the SPEC of these questions for one use, or with a share held out for both."""
        if "test" in self._told:
            test = self._told["test"] if self._tested is None else self._tested.place()
            return self._spec(self._place, {"test": test})
        if not scored:
            return self._spec(self._place, {"test": "0"})
        if not trained:
            return self._spec(self._usual or self._place, {"test": "1"})
        return self._spec(self._place, {"test": self._usual.place() if self._usual else f"{HELD_OUT:g}"})

    def with_test(self, test: Benchmark) -> str:
        """Return the SPEC that has another place's questions as its test. Raises `SpecError`."""
        if not isinstance(test, OwnBenchmark):
            raise SpecError(f"{self.name}: one plugin cannot test on the questions of another: add ,name=NAME to one")
        scored, told = test._usual or test._place, {**self._told, **test._told}
        both = f"{self._place} and {scored} would be one benchmark, {self.name}, but"
        differ = [key for key in told if self._told.get(key, told[key]) != test._told.get(key, told[key])]
        if differ:
            values = f"{differ[0]}={self._told[differ[0]]} and {test._told[differ[0]]}"
            raise SpecError(f"{both} are read differently ({values}): add ,name=NAME to one")
        if scored == self._place:
            return self._spec(self._place, {"test": f"{HELD_OUT:g}", **told})
        if "test" in told:
            raise SpecError(
                f"{both} test={told['test']} says which are the test: leave it out, or add ,name=NAME to one"
            )
        if type(scored) is not type(self._place) or self._place.other(scored.place()) != scored:
            raise SpecError(f"{both} lie in two sets: add ,name=NAME to one")
        return self._spec(self._place, {**told, "test": scored.place()})

    def without(self, questions: Sequence[Question]) -> Benchmark:
        """Return the benchmark without the training questions that are among these."""
        unwanted, other = {self.identity(question) for question in questions}, copy.copy(self)
        kept = [question for question in self._splits["train"] if self.identity(question) not in unwanted]
        other._left_out = self._left_out + len(self._splits["train"]) - len(kept)
        other._splits = {**self._splits, "train": kept}
        return other

    def without_duplicates(self) -> Benchmark:
        """Return the benchmark without the training questions that stand in its test too."""
        return self.without(self._splits["test"])

    def _spec(self, place: Place, told: Mapping[str, str]) -> str:
        spec = place.spec()
        return str(replace(spec, options={**spec.options, **self._told, **told}))

    def _divided(self) -> Mapping[Split, Sequence[Question]]:
        found: dict[Split, list[Question]] = {"train": [], "test": []}
        ids, border = self._understood.ids, len(self._place.rows())
        # Each place may number its rows from 1.
        given = None not in ids and all(len({*part}) == len(part) for part in (ids[:border], ids[border:]))
        times = Counter[str]()
        for at, (own, parsed) in enumerate(zip(ids, self._understood.parsed, strict=True)):
            if self._share is None:
                split: Split = "train" if at < border else "test"
            else:
                split = "test" if _rank(parsed.question) < self._share else "train"
            identity = f"{self.name}/{split}/{_key(parsed, own if given else None)}"
            times[identity] += 1
            told_apart = identity if times[identity] == 1 else f"{identity}-{times[identity]}"
            found[split].append(parsed.asked(told_apart, self.name, self._understood.kind))
        return found


def _key(parsed: Parsed, given: str | None) -> str:
    """Return what names a question by its content, so that an id that is given to another one tells them apart."""
    content = json.dumps([lines(parsed.question), [lines(text) for text in parsed.choices or ()]])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return digest[:12] if given is None else f"{given}@{digest[:6]}"


def _rank(question: str) -> float:
    """Return a number from 0 to 1 by the question's folded text."""
    return int.from_bytes(hashlib.sha256(lines(question).encode()).digest()[:8], "big") / 2**64


@functools.lru_cache(maxsize=4)
def _file_rows(path: Path, changed: int, size: int) -> tuple[Row, ...]:
    return tuple(read_any_rows(path))


@functools.lru_cache(maxsize=4)
def _hub_rows(place: HubPlace) -> tuple[Row, ...]:
    splits = _hub_splits(place.hub_id, place.config, place.revision)
    if place.split not in splits:
        raise DataError(
            f"hub:{place.hub_id} has no split {place.split!r} (splits: {', '.join(splits)}): say split=SPLIT"
        )
    return tuple(Row(values, f"{place}, row {at}") for at, values in enumerate(splits[place.split], 1))


@functools.lru_cache(maxsize=4)
def _hub_splits(hub_id: str, config: str | None, revision: str | None) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    return hub_splits(hub_id, config, revision)
