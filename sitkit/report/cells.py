"""The rows of ``scores`` as cells: one accuracy a cell, its seeds taken together, and which cell came before which.

A matrix has many students of one phase; a cell says what it was trained and refined on. What a phase does not depend
on is blank: a baseline has no teacher, an instructed student nothing it was refined on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from sitkit.types import Json, Phase, Prompting

Row = Mapping[str, Json]
Tasks = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean with its standard error, in whatever unit it is told in."""

    value: float
    error: float


@dataclass(frozen=True)
class ScoredCell:
    """Accuracy (0 to 1) of one student on one benchmark under one prompting, over seeds.

    ``error`` is the standard error over questions (the seeds' mean: they share their questions) and, where there are
    several seeds, over these too. ``unread`` is the share of answers in which none was found; ``keys`` names the stage
    of each seed, where the rows do.
    """

    student: str
    teacher: str
    method: str
    fraction: float
    phase: Phase
    train_on: Tasks
    refine_on: Tasks
    benchmark: str
    domain: str
    prompting: Prompting
    value: float
    error: float
    n: int
    seeds: int
    unread: float
    keys: Mapping[int, str] = field(default_factory=dict, compare=False)

    @property
    def percent(self) -> Measured:
        """Value and error in percent."""
        return Measured(100 * self.value, 100 * self.error)


_Key = tuple[str, str, str, float, Phase, Tasks, Tasks, str, Prompting]


def collect(rows: Iterable[Row]) -> list[ScoredCell]:
    """Return the cells of the rows, in the order of their first rows; a row that stands there twice counts once."""
    found: dict[_Key, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(_key(row), {})[int(row.get("seed", 0))] = row
    return [_cell(key, list(seeds.values())) for key, seeds in found.items()]


def before(cells: Sequence[ScoredCell]) -> list[tuple[ScoredCell, ScoredCell]]:
    """Return (earlier, later) for each cell that has an earlier phase: the baseline before instruct, instruct before
    refine, the baseline where a student was refined without being instructed.
    """
    earlier = {_place(cell): cell for cell in cells if cell.phase != "refine"}
    pairs = []
    for cell in cells:
        found = None if cell.phase == "baseline" else earlier.get(_place_before(cell))
        if found is not None:
            pairs.append((found, cell))
    return pairs


def floored(stderr: float, value: float, n: int) -> float:
    """Return the standard error of a share, never 0: where none or all of n are right it is taken as Laplace's rule
    of succession has the share.
    """
    if stderr > 0 or n <= 0:
        return stderr
    share = (value * n + 1) / (n + 2)
    return math.sqrt(share * (1 - share) / n)


def signed(value: float, digits: int) -> str:
    """Return a number with its sign (0 has +), halves rounded away from 0: as a float, 4.55 is a little less."""
    exact = Decimal(repr(round(value, 6))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{exact if exact else abs(exact):+}"


def _key(row: Row) -> _Key:
    phase: Phase = row["phase"]
    # Rows written before there were several arms say nothing of a method: their students had both phases.
    method = str(row.get("method") or "both") if phase == "refine" else ""
    taught = phase != "baseline"
    return (
        str(row.get("student", "")),
        str(row.get("teacher") or "") if taught else "",
        method,
        float(row.get("fraction") or 1.0) if taught else 1.0,
        phase,
        tuple(row.get("train_on") or ()) if taught and method != "refine" else (),
        tuple(row.get("refine_on") or ()) if phase == "refine" else (),
        str(row["benchmark"]),
        row["prompting"],
    )


def _cell(key: _Key, rows: Sequence[Row]) -> ScoredCell:
    student, teacher, method, fraction, phase, train_on, refine_on, benchmark, prompting = key
    values = [float(row["value"]) for row in rows]
    questions = statistics.fmean(floored(float(row["stderr"]), float(row["value"]), int(row["n"])) for row in rows)
    over_seeds = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    asked = sum(int(row["n"]) for row in rows)
    return ScoredCell(
        student=student,
        teacher=teacher,
        method=method,
        fraction=fraction,
        phase=phase,
        train_on=train_on,
        refine_on=refine_on,
        benchmark=benchmark,
        domain=str(rows[0].get("domain", "")),
        prompting=prompting,
        value=statistics.fmean(values),
        error=math.hypot(questions, over_seeds),
        n=int(rows[0]["n"]),
        seeds=len(rows),
        unread=sum(int(row["extraction_failures"]) for row in rows) / asked if asked else 0.0,
        keys={int(row.get("seed", 0)): str(row["key"]) for row in rows if row.get("key")},
    )


_Place = tuple[str, str, float, Phase, Tasks, str, Prompting]


def _place(cell: ScoredCell) -> _Place:
    return (cell.student, cell.teacher, cell.fraction, cell.phase, cell.train_on, cell.benchmark, cell.prompting)


def _place_before(cell: ScoredCell) -> _Place:
    if cell.phase == "refine" and cell.method != "refine":
        return (
            cell.student, cell.teacher, cell.fraction, "instruct", cell.train_on, cell.benchmark, cell.prompting
        )  # fmt: skip
    return (cell.student, "", 1.0, "baseline", (), cell.benchmark, cell.prompting)
