"""What the benchmarks of this plugin have in common: rows from a source, each parsed, some of them drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sitkit.types import LETTERS, Json, Kind, Prompting, Question, Split
from sitkit_benchmarks.draw import Draw, Item, Unwanted, Whole
from sitkit_benchmarks.identity import Fold, words
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source

MATH_INSTRUCTION = "Answer the following mathematical question with numerical solution."
"""Table 2 of the paper, for GSM8K and MultiArith; MATH, which the paper prints no prompt for, takes it as well."""


@dataclass(frozen=True)
class Parsed:
    """What a row says: the question, the target in the form its kind asks for, a worked solution if there is one.

    ``group`` is what a draw is stratified by where that is not the target.
    """

    question: str
    target: str
    choices: tuple[str, ...] | None = None
    solution: str | None = None
    group: str | None = None

    def asked(self, identity: str, benchmark: str, kind: Kind) -> Question:
        """Return the question as the paper asks it (Tables 2 and 6)."""
        return Question(
            id=identity,
            benchmark=benchmark,
            kind=kind,
            instruction=MATH_INSTRUCTION if self.choices is None else choice_instruction(len(self.choices)),
            question=self.question,
            choices=self.choices,
            target=self.target,
            solution=self.solution,
        )


@dataclass(frozen=True)
class Table:
    """All that tells one benchmark from another. ``parse`` raises `DataError` through the row it is given; it returns
    None for a row that is known to have no answer, which is left out.

    ``draws`` says which rows of the source's split become the split (default: all), ``fold`` when two texts are the
    same, ``column`` names the benchmark's column in the paper's Table 8, ``task`` its lm-eval tasks where ``name`` does
    not.
    """

    name: str
    domain: str
    kind: Kind
    source: Source
    parse: Callable[[Row], Parsed | None]
    draws: Mapping[Split, Draw] = field(default_factory=lambda: {"train": Whole(), "test": Whole()})
    fold: Fold = words
    column: str | None = None
    task: str | None = None


class TableBenchmark:
    """A benchmark made of the rows of a table. Its questions carry the name it was made under."""

    def __init__(self, table: Table, data_dir: Path | None, name: str, *, drop_duplicates: bool = False) -> None:
        self.table = table
        self.domain = table.domain
        self._data_dir = data_dir
        self._name = name
        self._drop_duplicates = drop_duplicates
        self._items: dict[str, list[Item]] = {}
        self._draws: dict[tuple[Split, int], list[Item]] = {}

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return what determines the rows. Raises `DataError` if a data folder lacks them."""
        draw = self.table.draws[split]
        found = {**self.table.source.fingerprint(split, self._data_dir), **draw.material()}
        if draw.seeded:
            found["seed"] = seed
        if self._drop_duplicates and split == "train":
            found["without"] = self.fingerprint("test", seed)
        return found

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions of the split. Raises `DataError` naming file, line and field."""
        return [item.question for item in self._drawn(split, seed)]

    def task(self, prompting: Prompting) -> str:
        """Return the lm-eval task in tasks/ that scores the test split."""
        return f"sit_{self.table.task or self.table.name}_{prompting}"

    def default_teacher(self) -> str:
        """Return the teacher of worked solutions, which says so where there are none."""
        return "gold"

    def subset(self, split: Split, seed: int, name: str) -> Sequence[Question]:
        """Return the questions of one group of the split (an MMLU subject, a MATH type); none if there is no such."""
        return [item.question for item in self._drawn(split, seed) if item.group == name]

    def pool(self, split: Split) -> Sequence[Question]:
        """Return all questions of the source's split that `questions` draws from, in the source's order."""
        return [item.question for item in self._load(split)]

    def origin(self, split: Split) -> str:
        """Return where the rows come from, in a few words."""
        return self.table.source.origin(split, self._data_dir)

    def identity(self, question: Question) -> tuple[str, frozenset[str]]:
        """Return what two equal questions share: the folded question, and the folded set of its options."""
        fold = self.table.fold
        return fold(question.question), frozenset(fold(text) for text in question.choices or ())

    def paper(self, split: Split) -> Mapping[str, int]:
        """Return the paper's counts: "rows" or "per_class", and "tolerance" where it prints one; {} if none."""
        counts: Mapping[str, int] = _table_8().get(self.table.column or "", {}).get(split, {})
        return counts

    def without_duplicates(self) -> TableBenchmark:
        """Return this benchmark without the training questions that, options included, stand in its test too."""
        return TableBenchmark(self.table, self._data_dir, self._name, drop_duplicates=True)

    def _drawn(self, split: Split, seed: int) -> list[Item]:
        if (split, seed) not in self._draws:
            self._draws[split, seed] = self.table.draws[split].take(self._load(split), seed, self._leaked(split, seed))
        return self._draws[split, seed]

    def _leaked(self, split: Split, seed: int) -> Unwanted:
        if split == "test" or not self._drop_duplicates:
            return lambda item: False
        tested = {self.identity(item.question) for item in self._drawn("test", seed)}
        return lambda item: self.identity(item.question) in tested

    def _load(self, split: Split) -> list[Item]:
        # By the source's name: MMLU draws both of its splits from one.
        name = self.table.source.splits[split]
        if name not in self._items:
            rows = self.table.source.rows(split, self._data_dir)
            parsed = ((index, self.table.parse(row)) for index, row in enumerate(rows))
            self._items[name] = [
                self._item(f"{self.table.name}/{name}/{index}", one) for index, one in parsed if one is not None
            ]
        return self._items[name]

    def _item(self, identity: str, parsed: Parsed) -> Item:
        return Item(parsed.asked(identity, self._name, self.table.kind), parsed.group or parsed.target)


def choice_instruction(options: int) -> str:
    """Return Table 2's instruction for multiple choice, "[...]" filled in with the letters as in its Table 6."""
    return f"Choose the answer to the question only from options {', '.join(LETTERS[:options])}."


@cache
def _table_8() -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    content = json.loads(Path(__file__).with_name("table_8.json").read_text(encoding="utf-8"))
    columns: Mapping[str, Mapping[str, Mapping[str, int]]] = content["columns"]
    return columns
