"""The paired comparisons of a run: one phase against another on the same questions, for each arm and benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.arms import Arm, Row, rows_of
from sitkit.results.artifacts import Stored
from sitkit.results.significance import Comparison, Correct, compare
from sitkit.types import Json, Phase, Prompting


@dataclass(frozen=True)
class Cell:
    """A phase under a prompting: one column of a table."""

    phase: Phase
    prompting: Prompting


class Comparisons:
    """Compares the phases of arms, reading each stage's predictions once."""

    def __init__(self, results: Json, stored: Stored) -> None:
        self._rows: Sequence[Row] = results["scores"]
        self._stored = stored
        self._by_arm: dict[Arm, Mapping[tuple[str, str, str], Mapping[int, str]]] = {}

    def of(self, arm: Arm, benchmark: str, before: Cell, after: Cell) -> Comparison | None:
        """Return the comparison, or None where predictions are missing."""
        return self.between((arm, before), (arm, after), benchmark)

    def between(self, before: tuple[Arm, Cell], after: tuple[Arm, Cell], benchmark: str) -> Comparison | None:
        """Compare a cell of one arm with a cell of another, over the seeds they share."""
        one, other = self._correct(*before, benchmark), self._correct(*after, benchmark)
        return compare([(one[seed], other[seed]) for seed in one if seed in other])

    def _correct(self, arm: Arm, cell: Cell, benchmark: str) -> dict[int, Correct]:
        keys = self._keys(arm).get((cell.phase, cell.prompting, benchmark), {})
        return {seed: self._stored.correct(key).get(cell.prompting, {}) for seed, key in keys.items()}

    def _keys(self, arm: Arm) -> Mapping[tuple[str, str, str], Mapping[int, str]]:
        if arm not in self._by_arm:
            found: dict[tuple[str, str, str], dict[int, str]] = {}
            for row in rows_of(arm, self._rows):
                if row.get("key"):
                    place = (str(row["phase"]), str(row["prompting"]), str(row["benchmark"]))
                    found.setdefault(place, {})[int(row["seed"])] = str(row["key"])
            self._by_arm[arm] = found
        return self._by_arm[arm]
