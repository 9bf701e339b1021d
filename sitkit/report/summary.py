"""Numbers made from the rows of ``scores``: means over seeds, gains between phases, and what the gains are made of."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.types import PHASES, PROMPTINGS, Json, Phase, Prompting

Row = Mapping[str, Json]


@dataclass(frozen=True)
class CellSummary:
    """Accuracy of one phase, prompting and benchmark over seeds; all in 0..1.

    ``stderr`` is the standard error over questions (the mean of the seeds'), ``deviation`` the standard deviation
    over seeds (None for a single one). ``worked`` is the share of answers with more than one sentence,
    ``worked_accuracy`` the accuracy among those, ``other_accuracy`` among the rest (None where there is none).
    """

    phase: Phase
    prompting: Prompting
    benchmark: str
    transfer: str
    value: float
    stderr: float
    deviation: float | None
    n: int
    seeds: int
    extraction_failures: float
    worked: float
    worked_accuracy: float | None
    other_accuracy: float | None


@dataclass(frozen=True)
class Gain:
    """Refined minus instructed under the trigger on one benchmark, and what it is made of.

    With w the worked share, a the accuracy among worked answers and b among the others, the accuracy is
    w*a + (1-w)*b. ``style`` is the change of w times the mean of a-b (more answers are worked out); ``skill`` is the
    rest (answers of a kind became better). Their sum is ``value``. ``interval`` is half the 95% t-interval of
    ``value`` over seeds (None for one seed).
    """

    benchmark: str
    transfer: str
    value: float
    interval: float | None
    style: float
    skill: float
    seeds: int


def summarise(rows: Sequence[Row]) -> list[CellSummary]:
    """Return one summary per phase, prompting and benchmark, in the order of the paper's tables."""
    benchmarks = list(dict.fromkeys(str(row["benchmark"]) for row in rows))
    found = []
    for phase in PHASES:
        for prompting in PROMPTINGS:
            for benchmark in benchmarks:
                cell = [row for row in rows if _is(row, phase, prompting, benchmark)]
                if cell:
                    found.append(_summary(phase, prompting, benchmark, cell))
    return found


def gains(rows: Sequence[Row]) -> list[Gain]:
    """Return what refining gained over instructing, per benchmark, under the trigger."""
    benchmarks = list(dict.fromkeys(str(row["benchmark"]) for row in rows))
    found = []
    for benchmark in benchmarks:
        before = {row["seed"]: row for row in rows if _is(row, "instruct", "cot", benchmark)}
        after = {row["seed"]: row for row in rows if _is(row, "refine", "cot", benchmark)}
        seeds = [seed for seed in before if seed in after]
        if seeds:
            parts = [_parts(before[seed], after[seed]) for seed in seeds]
            values = [style + skill for style, skill in parts]
            found.append(
                Gain(
                    benchmark=benchmark,
                    transfer=str(after[seeds[0]]["transfer"]),
                    value=statistics.fmean(values),
                    interval=half_interval(values),
                    style=statistics.fmean(style for style, _ in parts),
                    skill=statistics.fmean(skill for _, skill in parts),
                    seeds=len(seeds),
                )
            )
    return found


def half_interval(values: Sequence[float]) -> float | None:
    """Return half the 95% t-interval of the mean, or None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    return float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))


def _is(row: Row, phase: Phase, prompting: Prompting, benchmark: str) -> bool:
    return bool(row["phase"] == phase and row["prompting"] == prompting and row["benchmark"] == benchmark)


def _summary(phase: Phase, prompting: Prompting, benchmark: str, cell: Sequence[Row]) -> CellSummary:
    values = [float(row["value"]) for row in cell]
    n = sum(int(row["n"]) for row in cell)
    worked = sum(int(row["worked"]) for row in cell)
    worked_correct = sum(int(row["worked_correct"]) for row in cell)
    correct = sum(round(float(row["value"]) * int(row["n"])) for row in cell)
    return CellSummary(
        phase=phase,
        prompting=prompting,
        benchmark=benchmark,
        transfer=str(cell[0]["transfer"]),
        value=statistics.fmean(values),
        stderr=statistics.fmean(float(row["stderr"]) for row in cell),
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        n=int(cell[0]["n"]),
        seeds=len(cell),
        extraction_failures=sum(int(row["extraction_failures"]) for row in cell) / n if n else 0.0,
        worked=worked / n if n else 0.0,
        worked_accuracy=worked_correct / worked if worked else None,
        other_accuracy=(correct - worked_correct) / (n - worked) if n > worked else None,
    )


def _parts(before: Row, after: Row) -> tuple[float, float]:
    w0, a0, b0 = _mixture(before)
    w1, a1, b1 = _mixture(after)
    # Where a phase has no answer of a kind, the other phase's accuracy of that kind stands in: a change that
    # cannot be seen is counted as style.
    a0, a1 = (a0 if a0 is not None else a1), (a1 if a1 is not None else a0)
    b0, b1 = (b0 if b0 is not None else b1), (b1 if b1 is not None else b0)
    total = float(after["value"]) - float(before["value"])
    if a0 is None or a1 is None or b0 is None or b1 is None:
        return 0.0, total
    style = (w1 - w0) * ((a0 - b0) + (a1 - b1)) / 2
    return style, total - style


def _mixture(row: Row) -> tuple[float, float | None, float | None]:
    n, worked, worked_correct = int(row["n"]), int(row["worked"]), int(row["worked_correct"])
    correct = round(float(row["value"]) * n)
    return (
        worked / n if n else 0.0,
        worked_correct / worked if worked else None,
        (correct - worked_correct) / (n - worked) if n > worked else None,
    )
