"""What the benchmarks of this plugin have in common: rows from a source, each parsed into a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.types import Json, Kind, Prompting, Question, Split
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source

MATH_INSTRUCTION = "Answer the following mathematical question with numerical solution."
"""Table 2 of the paper, for GSM8K and MultiArith."""


@dataclass(frozen=True)
class Parsed:
    """What a row says: the question, the target in the form its kind asks for, a worked solution if there is one."""

    question: str
    target: str
    choices: tuple[str, ...] | None = None
    solution: str | None = None


@dataclass(frozen=True)
class Table:
    """All that tells one benchmark from another. ``parse`` raises `DataError` through the row it is given."""

    name: str
    domain: str
    kind: Kind
    instruction: str
    source: Source
    parse: Callable[[Row], Parsed]


class TableBenchmark:
    """A benchmark made of the rows of a table, in the table's order; the seed changes nothing."""

    def __init__(self, table: Table, data_dir: Path | None) -> None:
        self.table = table
        self.domain = table.domain
        self._data_dir = data_dir

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return what determines the rows. Raises `DataError` if a data folder lacks them."""
        return self.table.source.fingerprint(split, self._data_dir)

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return all questions of the split. Raises `DataError` naming file, line and field."""
        rows = self.table.source.rows(split, self._data_dir)
        return [self._question(f"{self.table.name}/{split}/{index}", row) for index, row in enumerate(rows)]

    def task(self, prompting: Prompting) -> str:
        """Return the lm-eval task in tasks/ that scores the test split."""
        return f"sit_{self.table.name}_{prompting}"

    def _question(self, identity: str, row: Row) -> Question:
        parsed = self.table.parse(row)
        return Question(
            id=identity,
            benchmark=self.table.name,
            kind=self.table.kind,
            instruction=self.table.instruction,
            question=parsed.question,
            choices=parsed.choices,
            target=parsed.target,
            solution=parsed.solution,
        )
