"""The matrix of a run (the paper's Tables 1, 10 and 11): a row for the training task, a column for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sitkit.results.arms import by_setting, is_matrix
from sitkit.results.model import Arm, Cell, Results
from sitkit.types import Phase

BASELINE = "baseline"
"""What stands for the training task in the row of the untaught student."""


@dataclass(frozen=True)
class Square:
    """One accuracy with CoT, and the arm it is of."""

    arm: Arm
    cell: Cell


Grid = Mapping[tuple[str, str], Square]
"""(Training task, test task) -> what stands there; a place may be blank."""


@dataclass(frozen=True)
class Matrix:
    """The grids of one student, teacher and strategy.

    ``instructed`` and ``refined``: on the row's task, tested on the column's. ``crossed``: instructed on the row's
    task, refined and tested on the column's. Of several shares of the demonstrations the largest is taken,
    ``fraction``; ``partial`` says whether there are others. ``domains``: task -> its domain, alike side by side.
    """

    setting: tuple[str, str, str]
    fraction: float
    partial: bool
    rows: tuple[str, ...]
    domains: Mapping[str, str]
    baseline: Grid
    instructed: Grid
    refined: Grid
    crossed: Grid

    @property
    def columns(self) -> tuple[str, ...]:
        """The tasks tested on."""
        return tuple(self.domains)

    @property
    def highest(self) -> float:
        """The highest accuracy of all grids, where a scale of colours ends."""
        grids = (self.baseline, self.instructed, self.refined, self.crossed)
        return max((square.cell.value for grid in grids for square in grid.values()), default=1.0) or 1.0

    def relation(self, row: str, column: str) -> str:
        """Return how the test task relates to the training task: trained, in-domain or out-of-domain."""
        if row == column:
            return "trained"
        return "in-domain" if self.domains.get(row) == self.domains.get(column) else "out-of-domain"


def matrices(results: Results) -> list[Matrix]:
    """Return the matrix of every setting whose arms train on single tasks; mostly one or none."""
    groups = by_setting(results.arms)
    return [_matrix(results, setting, arms) for setting, arms in groups.items() if is_matrix(arms)]


def _matrix(results: Results, setting: tuple[str, str, str], arms: list[Arm]) -> Matrix:
    most = max(arm.fraction for arm in arms)
    whole = [arm for arm in arms if arm.fraction == most and arm.method == "both"]
    cells = {arm: {(cell.phase, cell.benchmark): cell for cell in results.cells_of(arm) if cell.prompting == "cot"}
             for arm in whole}  # fmt: skip
    known = {cell.benchmark: cell.domain for cell in results.cells}
    order = list(dict.fromkeys(known.values()))
    domains = dict(sorted(known.items(), key=lambda task: order.index(task[1])))
    trained = dict.fromkeys(arm.train_on[0] for arm in whole)
    rows = [task for task in domains if task in trained] + [task for task in trained if task not in domains]
    own = {arm.train_on[0]: arm for arm in whole if not arm.crossed}
    anyone = {arm.train_on[0]: arm for arm in whole} | own
    crossed = {(arm.train_on[0], arm.refine_on[0]): arm for arm in whole if arm.crossed and len(arm.refine_on) == 1}

    def grid(arms_at: Mapping[tuple[str, str], Arm], phase: Phase) -> Grid:
        return {
            (row, column): Square(arm, cells[arm][phase, column])
            for (row, column), arm in arms_at.items()
            if (phase, column) in cells[arm]
        }

    return Matrix(
        setting=setting,
        fraction=most,
        partial=any(arm.fraction != most for arm in arms),
        rows=tuple(rows),
        domains=domains,
        baseline=grid({(BASELINE, column): whole[0] for column in domains}, "baseline"),
        instructed=grid({(row, column): anyone[row] for row in rows for column in domains}, "instruct"),
        refined=grid({(row, column): arm for row, arm in own.items() for column in domains}, "refine"),
        crossed=grid(crossed, "refine"),
    )
