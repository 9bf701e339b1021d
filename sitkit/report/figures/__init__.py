"""A run's figures: by phase, the matrix, against the share of demonstrations, and what training logged.

One description serves the page, which draws them as SVG for light and dark, and notebooks, which get them from
matplotlib as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from sitkit.report.figures.draw import Curve, Measured, bars, heatmap, low_resource, rounds, training
from sitkit.report.figures.style import LIGHT, Palette, end_of_axis
from sitkit.report.matrix import matrices
from sitkit.results.arms import describe, is_low_resource, refines
from sitkit.results.model import Arm, Cell, Results, belongs
from sitkit.results.rows import StoredRows
from sitkit.types import Json, Phase, Prompting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 12
"""Panels of bars that are drawn at most."""

_COT: Mapping[tuple[Phase, Prompting], str] = {
    ("baseline", "direct"): "baseline, direct", ("baseline", "cot"): "baseline",
    ("instruct", "cot"): "instructed", ("refine", "cot"): "refined",
}  # fmt: skip
_DIRECT: Mapping[tuple[Phase, Prompting], str] = {
    ("baseline", "direct"): "baseline", ("instruct", "direct"): "instructed", ("refine", "direct"): "refined",
}  # fmt: skip
_HELD_OUT = ("eval_loss", "held out", "other")
_CURVES = (
    ("instruct", "Instruction-tuning: loss", "loss", (("loss", "training", "instruct"), _HELD_OUT)),
    ("refine", "Refining: loss", "loss", (("loss", "training", "refine"), _HELD_OUT)),
    ("refine", "Refining: implicit reward", "reward",
     (("rewards/chosen", "chosen", "instruct"), ("rewards/rejected", "rejected", "refine"))),
    ("refine", "Refining: log-probability", "nats",
     (("logps/chosen", "chosen", "instruct"), ("logps/rejected", "rejected", "refine"))),
    ("refine", "Learning from own answers: reward", "share, reward",
     (("reward", "reward", "other"), ("rewards/correct/mean", "right", "refine"),
      ("rewards/format/mean", "in form", "instruct"))),
    ("refine", "Learning from own answers: divergence from the start", "KL, nats a token", (("kl", "KL", "refine"),)),
)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn with any palette; ``titled``: its own title says what its caption says."""

    name: str
    section: Literal["phases", "matrix", "low", "rounds", "training"]
    caption: str
    paint: Callable[[Palette], Figure]
    titled: bool = False


def figures(results: Results, stored: StoredRows) -> dict[str, Figure]:
    """Return every figure of a run by name, as matplotlib figures in colours for a light ground.

    Names are ``phases-N`` and ``phases-direct`` (bars of accuracy by phase), ``matrix-N-instructed``,
    ``matrix-N-self-refined``, ``matrix-N-cross-self-refined`` (heat maps), ``demonstrations-N`` (accuracy against the
    share of demonstrations), ``rounds-N`` (accuracy by round) and ``training-N`` (loss, rewards, log-probabilities,
    divergence); which there are depends on the run.
    """
    return {drawing.name: drawing.paint(LIGHT) for drawing in drawings(results, stored)}


def drawings(results: Results, stored: StoredRows) -> Iterator[Drawing]:
    """Yield what can be drawn of a run, section by section."""
    yield from _phases(results)
    yield from _matrices(results)
    yield from _low_resource(results)
    yield from _rounds(results)
    yield from _training(results, stored)


def arms_by_phase(results: Results) -> list[Arm]:
    """Return the arms whose phases are worth a panel of bars; crosses are left to the matrix."""
    most = max((arm.fraction for arm in results.arms), default=1.0)
    whole = "both" if refines(results.arms) else "instruct"
    return [arm for arm in results.arms if arm.method == whole and not arm.crossed and arm.fraction == most]


def _phases(results: Results) -> Iterator[Drawing]:
    shown = arms_by_phase(results)[:MOST_PANELS]
    panels: list[tuple[Arm, str, Prompting]] = [(arm, f"phases-{number}", "cot") for number, arm in enumerate(shown)]
    if len(shown) == 1:
        panels.append((shown[0], "phases-direct", "direct"))
    teachers = [_teacher(results, arm, prompting) for arm, _, prompting in panels]
    ends = [_end(cell) for arm in shown for cell in results.cells_of(arm)]
    highest = end_of_axis([*ends, *(value for teacher in teachers for value in teacher.values())])
    for (arm, name, prompting), teacher in zip(panels, teachers, strict=True):
        values: dict[str, dict[str, Measured]] = {}
        series = _COT if prompting == "cot" else _DIRECT
        for cell in results.cells_of(arm):
            if (cell.phase, cell.prompting) in series:
                values.setdefault(cell.benchmark, {})[series[cell.phase, cell.prompting]] = _measured(cell)
        caption = f"{describe(arm, results.arms)}, {'CoT' if prompting == 'cot' else 'direct'}"
        yield Drawing(name, "phases", caption, partial(bars, values, teacher, highest=highest))


def _teacher(results: Results, arm: Arm, prompting: Prompting) -> dict[str, float]:
    tested = {cell.benchmark for cell in results.cells_of(arm) if cell.prompting == prompting}
    return {
        score.benchmark: score.value
        for score in results.teacher_scores
        if (score.teacher, score.split, score.prompting) == (arm.teacher, "test", prompting)
        and score.benchmark in tested
    }


def _matrices(results: Results) -> Iterator[Drawing]:
    for number, matrix in enumerate(matrices(results)):
        grids = {"instructed": matrix.instructed, "self-refined": matrix.refined, "cross-self-refined": matrix.crossed}
        for title, grid in grids.items():
            if grid:
                values = {place: square.cell.value for place, square in grid.items()}
                relations = {place: matrix.relation(*place) for place in grid}
                paint = partial(heatmap, values, relations, matrix.rows, matrix.columns)
                heading = title.replace("-", " ")
                yield Drawing(f"matrix-{number}-{title}", "matrix", heading, partial(paint, heading=heading), True)


def _low_resource(results: Results) -> Iterator[Drawing]:
    groups: dict[tuple[tuple[str, str, str], tuple[str, ...]], list[Arm]] = {}
    for arm in results.arms:
        groups.setdefault((arm.setting, arm.train_on or arm.refine_on), []).append(arm)
    number = 0
    for ((student, teacher, _), tasks), arms in groups.items():
        if is_low_resource(arms):
            heading = f"{teacher} → {student}, {', '.join(tasks)}: " if len(groups) > 1 else ""
            for drawing in _curves(results, arms, heading, number):
                yield drawing
                number += 1


def _curves(results: Results, arms: Sequence[Arm], heading: str, first: int) -> Iterator[Drawing]:
    points: dict[str, dict[str, dict[float, Measured]]] = {}
    baseline: dict[str, float] = {}
    cells = [(arm, cell) for arm in arms for cell in results.cells_of(arm)]
    highest = end_of_axis(_end(cell) for _, cell in cells)
    for arm, cell in cells:
        if cell.prompting == "cot" and cell.phase == "baseline":
            baseline[cell.benchmark] = cell.value
        elif cell.prompting == "cot":
            # What an arm of both phases has after the first is what instructing alone gives.
            method = "instruct" if cell.phase == "instruct" else arm.method
            points.setdefault(cell.benchmark, {}).setdefault(method, {})[arm.fraction] = _measured(cell)
    for number, (benchmark, methods) in enumerate(points.items(), first):
        caption = f"{heading}{benchmark}"
        paint = partial(
            low_resource, methods, baseline.get(benchmark), heading=caption, shared=results.shared, highest=highest
        )
        yield Drawing(f"demonstrations-{number}", "low", caption, paint, titled=True)


def _rounds(results: Results) -> Iterator[Drawing]:
    number = 0
    for arm in results.arms:
        scored = [(one.round, one.cell) for one in results.rounds if belongs(one.cell, arm)]
        if not scored:
            continue
        ends = {"instruct": 0, "refine": 1 + max(after for after, _ in scored)}
        cells = [*scored, *((ends[cell.phase], cell) for cell in results.cells_of(arm) if cell.phase in ends)]
        highest = end_of_axis(_end(cell) for _, cell in cells)
        points: dict[str, dict[Prompting, dict[int, Measured]]] = {}
        for after, cell in cells:
            points.setdefault(cell.benchmark, {}).setdefault(cell.prompting, {})[after] = _measured(cell)
        heading = f"{describe(arm, results.arms)}, " if len(results.arms) > 1 else ""
        for benchmark, drawn in points.items():
            paint = partial(rounds, drawn, heading=f"{heading}{benchmark}", highest=highest)
            yield Drawing(f"rounds-{number}", "rounds", f"{heading}{benchmark}", paint, titled=True)
            number += 1


def _training(results: Results, stored: StoredRows) -> Iterator[Drawing]:
    logs = [(run.stage, stored.rows(run.stage, run.key) or []) for run in results.training]
    for number, (stage, heading, unit, series) in enumerate(_CURVES):
        own = [log for of, log in logs if of == stage]
        curves = [curve for log in own for curve in _logged(log, series)]
        if curves:
            caption = f"{heading}, {len(own)} training {'run' if len(own) == 1 else 'runs'}"
            yield Drawing(
                f"training-{number}", "training", caption, partial(training, curves, heading=heading, unit=unit)
            )


def _logged(log: Sequence[Mapping[str, Json]], series: Sequence[tuple[str, str, str]]) -> Iterator[Curve]:
    for field, label, tone in series:
        rows = [(float(row["step"]), float(row[field])) for row in log if field in row and "step" in row]
        if rows:
            yield Curve(label, tone, [step for step, _ in rows], [value for _, value in rows])


def _measured(cell: Cell) -> Measured:
    """The cell with its whisker: the standard error over questions, or the deviation over seeds where it is larger."""
    return Measured(cell.value, max(cell.over_questions, cell.deviation or 0.0))


def _end(cell: Cell) -> float:
    measured = _measured(cell)
    return measured.value + measured.error
