"""Accuracy as the page shows it: the large numbers, a table with paired tests for each arm, and the matrix as maps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode

from sitkit.report.figures import arms_by_phase
from sitkit.report.matrix import BASELINE, Grid, Matrix, Square, matrices
from sitkit.report.page.answers import arm_id
from sitkit.report.tables import NOUNS
from sitkit.results.arms import describe, refines
from sitkit.results.model import Arm, Cell, Change, PairedTest, Results
from sitkit.results.rows import place
from sitkit.types import PHASES, Phase, Prompting

MINUS = "\N{MINUS SIGN}"

_TRANSFERS = {"trained": "Trained tasks", "in-domain": "In domain, not trained", "out-of-domain": "Out of domain"}
_CAPTIONS: Mapping[Prompting, str] = {"cot": "With CoT", "direct": "Direct"}
_OPEN_ARMS = 4
_MARKS = {"trained": "■", "in-domain": "◆", "out-of-domain": ""}
_FULL_RANGE = 0.3

_BY: Mapping[Phase, str] = {"instruct": "instruction-tuning", "refine": "refining"}

_Place = tuple[Phase, Prompting, str]


@dataclass(frozen=True)
class Accuracy:
    """A cell's numbers in percent as text, the link to its answers, and the files they lie in."""

    value: str
    error: str
    deviation: str | None
    link: str
    files: str
    strong: bool


@dataclass(frozen=True)
class Difference:
    """A paired test as text: points and their interval, questions gained and lost, the p-value."""

    points: str
    interval: str
    tone: str
    gained: str
    lost: str
    p: str
    holm: str
    p_of_seeds: str


@dataclass(frozen=True)
class MapCell:
    """One square of a heat map: its text, how strong its colour is (0..1), and its classes."""

    text: str = ""
    classes: str = "blank"
    level: str = "0"
    mark: str = ""
    relation: str = ""
    link: str = ""
    title: str = ""


def headline(results: Results) -> dict[str, object]:
    """Return what the section of accuracy gets."""
    arms = results.arms
    changes = {tuple(map(id, results.ends(change))): change for change in results.changes}
    blocks = []
    for arm in arms:
        cells: dict[_Place, Cell] = {
            (cell.phase, cell.prompting, cell.benchmark): cell for cell in results.cells_of(arm)
        }
        grids = [grid for prompting in _CAPTIONS if (grid := _grid(arm, cells, prompting, changes)) is not None]
        blocks.append({"title": describe(arm, arms) if len(arms) > 1 else "", "grids": grids})
    seeds = max((len(arm.seeds) for arm in arms), default=1)
    return {
        "tiles": _tiles(results), "blocks": blocks, "arms": len(blocks), "folded": len(blocks) > _OPEN_ARMS,
        "seeds": seeds,
        "tests": sum(change.paired is not None for change in results.changes),
    }  # fmt: skip


def _grid(
    arm: Arm, cells: Mapping[_Place, Cell], prompting: Prompting, changes: Mapping[tuple[int, ...], Change]
) -> dict[str, object] | None:
    """One table of an arm: a row for each benchmark, a column for each phase, and what changed from phase to phase.

    ``changes`` are found by the ids of both cells.
    """
    phases: list[Phase] = [phase for phase in PHASES if any(place[:2] == (phase, prompting) for place in cells)]
    if not phases:
        return None
    columns: list[tuple[Phase, Prompting]] = [(phase, prompting) for phase in phases]
    hinted = prompting == "cot" and any(place[:2] == ("baseline", "direct") for place in cells)
    if hinted:
        columns.insert(0, ("baseline", "direct"))
    rows = []
    for benchmark in dict.fromkeys(benchmark for _, _, benchmark in cells):
        own = [cells.get((phase, prompting, benchmark)) for phase in phases]
        between = [changes.get((id(before), id(after))) for before, after in pairwise(own)]
        last = own[-1]
        rows.append(
            {
                "name": benchmark,
                "about": "" if last is None else f"{last.transfer}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{last.n}",
                "cells": [_accuracy(arm, cells.get((*column, benchmark))) for column in columns],
                "steps": [None if change is None else difference(change.paired, change.holm) for change in between],
            }
        )
    return {
        "caption": _CAPTIONS[prompting],
        "columns": [
            (NOUNS[phase], {"direct": "direct", "cot": "CoT"}[of] if hinted and phase == "baseline" else "")
            for phase, of in columns
        ],
        "steps": [f"{NOUNS[after]} {MINUS} {NOUNS[before]}" for before, after in pairwise(phases)],
        "rows": rows,
    }


def _accuracy(arm: Arm, cell: Cell | None) -> Accuracy | None:
    if cell is None:
        return None
    return Accuracy(
        value=f"{100 * cell.value:.1f}",
        error=f"± {100 * cell.over_questions:.1f}",
        deviation=None if cell.deviation is None else f"({100 * cell.deviation:.1f})",
        link=answers_link(arm, cell),
        files=_files(cell),
        strong=cell.phase == "refine",
    )


def _tiles(results: Results) -> list[dict[str, object]]:
    """The large numbers: means with CoT over the benchmarks trained on, of the same domain, and of another."""
    groups: dict[str, list[tuple[Arm, dict[Phase, Cell]]]] = {}
    last: Phase = "refine" if refines(results.arms) else "instruct"
    for arm in arms_by_phase(results):
        by_benchmark: dict[str, dict[Phase, Cell]] = {}
        for cell in results.cells_of(arm):
            if cell.prompting == "cot":
                by_benchmark.setdefault(cell.benchmark, {})[cell.phase] = cell
        for phases in by_benchmark.values():
            if last in phases:
                groups.setdefault(phases[last].transfer, []).append((arm, phases))
    shown = [(title, groups[transfer]) for transfer, title in _TRANSFERS.items() if transfer in groups]
    return [_tile(results, title, group, last) for title, group in shown]


def _tile(
    results: Results, title: str, group: Sequence[tuple[Arm, Mapping[Phase, Cell]]], last: Phase
) -> dict[str, object]:
    taught = {
        (score.teacher, score.benchmark): (score.benchmark, score.value, score.stderr)
        for score in results.teacher_scores
        if (score.split, score.prompting) == ("test", "cot")
    }
    means = []
    for phase in PHASES:
        cells = [phases[phase] for _, phases in group if phase in phases]
        if len(cells) == len(group):
            means.append((NOUNS[phase], *_mean([(cell.benchmark, cell.value, cell.over_questions) for cell in cells])))
    gain = points(means[-1][1] - means[-2][1]) if len(means) > 1 else ""
    teachers = [taught.get((arm.teacher, phases[last].benchmark)) for arm, phases in group]
    if None not in teachers:
        means.append(("teacher", *_mean([score for score in teachers if score is not None])))
    return {
        "title": title,
        "steps": [(noun, f"{100 * value:.1f}", f"± {100 * error:.1f}") for noun, value, error in means],
        "gain": f"{gain} points by {_BY[last]}" if gain else "",
        "count": f"mean of {len(group)} {'cell' if len(group) == 1 else 'cells'}, with CoT",
        "teacher": ", ".join(dict.fromkeys(arm.teacher for arm, _ in group)),
    }


def _mean(shares: Sequence[tuple[str, float, float]]) -> tuple[float, float]:
    """The mean of (benchmark, share, standard error over questions), and its standard error over questions.

    Students share a benchmark's questions, so their errors add up; those of different benchmarks are independent.
    """
    errors: dict[str, float] = {}
    for benchmark, _, error in shares:
        errors[benchmark] = errors.get(benchmark, 0.0) + error
    return statistics.fmean(share for _, share, _ in shares), math.hypot(*errors.values()) / len(shares)


def matrix_maps(results: Results) -> dict[str, object]:
    """Return what the section of the matrix gets; ``blocks`` is empty where nothing is a matrix."""
    found = matrices(results)
    blocks = [
        {
            "title": f"{matrix.setting[1]} → {matrix.setting[0]}, {matrix.setting[2]}" if len(found) > 1 else "",
            "only": f"{matrix.fraction:g}" if matrix.partial else "",
            "maps": _maps(matrix),
        }
        for matrix in found
    ]
    return {"blocks": blocks, "marks": _MARKS}


def _maps(matrix: Matrix) -> list[dict[str, object]]:
    def heat(title: str, grid: Grid, baseline: Grid | None = None) -> dict[str, object]:
        def drawn(own: Grid, row: str, *, marked: bool = True) -> dict[str, MapCell]:
            return {
                column: _square(square, f"{100 * value:.1f}", value / matrix.highest, "heat", relation, marked=marked)
                for column in matrix.columns
                if (square := own.get((row, column))) is not None
                for value, relation in [(square.cell.value, matrix.relation(row, column))]
            }

        rows = [(row, drawn(grid, row)) for row in matrix.rows]
        return _map(matrix, title, rows, drawn(baseline or {}, BASELINE, marked=False))

    def gains(title: str, after: Grid, before: Grid) -> dict[str, object]:
        rows = []
        for row in matrix.rows:
            cells = {}
            for column in matrix.columns:
                if (row, column) in after and (row, column) in before:
                    change = after[row, column].cell.value - before[row, column].cell.value
                    relation = matrix.relation(row, column)
                    cells[column] = _square(
                        after[row, column], points(change), change / _FULL_RANGE, "gain", relation, marked=True
                    )
            rows.append((row, cells))
        return _map(matrix, title, rows, {})

    maps = [heat("Instructed", matrix.instructed, matrix.baseline), heat("Self-refined", matrix.refined)]
    maps += [heat("Cross self-refined", matrix.crossed)] if matrix.crossed else []
    maps += [gains("Self-refined minus instructed, in points", matrix.refined, matrix.instructed)]
    maps += [gains("Cross minus self-refined, in points", matrix.crossed, matrix.refined)] if matrix.crossed else []
    return maps


def _square(square: Square, text: str, level: float, kind: str, relation: str, *, marked: bool) -> MapCell:
    level = max(-1.0, min(1.0, level))
    cell = square.cell
    return MapCell(
        text=text,
        classes=f"{kind} {'down' if level < 0 else 'up'} {relation if marked else ''}",
        level=f"{abs(level):.3f}",
        mark=_MARKS.get(relation, "") if marked else "",
        relation=relation if marked else "",
        link=answers_link(square.arm, cell),
        title=f"{text} ± {100 * cell.over_questions:.1f}\n{relation}\n{_files(cell)}",
    )


def _map(
    matrix: Matrix, title: str, rows: Sequence[tuple[str, Mapping[str, MapCell]]], extra: Mapping[str, MapCell]
) -> dict[str, object]:
    def parted(tasks: Sequence[str]) -> list[bool]:
        domains = [matrix.domains.get(task, "") for task in tasks]
        return [at > 0 and domains[at] != domains[at - 1] for at in range(len(tasks))]

    columns = list(zip(matrix.columns, parted(matrix.columns), strict=True))

    def cells(own: Mapping[str, MapCell]) -> list[tuple[MapCell, bool]]:
        return [(own.get(column, MapCell()), border) for column, border in columns]

    return {
        "title": title,
        "columns": columns,
        "rows": [
            (row, border, cells(own)) for (row, own), border in zip(rows, parted(matrix.rows), strict=True)
        ],
        "extra": cells(extra) if extra else [],
    }  # fmt: skip


def points(value: float) -> str:
    """Return a difference of shares in percentage points with its sign."""
    # Adding 0 makes a rounded -0.0 a plain 0.
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", MINUS)


def difference(test: PairedTest | None, holm: float | None) -> Difference | None:
    """Return a paired test as text; of several seeds' p-values the largest is told, and beside it Holm's correction."""
    if test is None:
        return None
    # Resampling questions of which none changed would give an interval of no width, as if 0 were certain.
    interval = f"[{points(test.low)}, {points(test.high)}]" if test.low is not None and test.high is not None else ""
    several, p = len(test.p) > 1, max(test.p)
    return Difference(
        points=points(test.difference),
        interval=interval if test.gained + test.lost else "",
        tone=("up" if test.difference > 0 else "down") if test.certain else "",
        gained=f"+{test.gained}",
        lost=f"{MINUS}{test.lost}",
        p=("≤ " if several and 0.001 <= p < 0.995 else "") + _probability(p),
        holm="" if holm is None else f"({_probability(holm)})",
        p_of_seeds="seeds: " + ", ".join(map(_probability, test.p)) if several else "",
    )


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}" if p < 0.995 else "1"


def answers_link(arm: Arm, cell: Cell) -> str:
    """Return a link that opens the answers behind a cell."""
    choice = {"arm": arm_id(arm), "benchmark": cell.benchmark, "prompting": cell.prompting, "phase": cell.phase}
    return "#answers?" + urlencode(choice, errors="replace")


def _files(cell: Cell) -> str:
    return "\n".join(place("evaluate", key) for key in cell.keys)
