"""The kinds of figure, each drawn from plain numbers with a palette: bars, curves and heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sitkit.report.figures.style import Palette, figure, legend, lettered, title
from sitkit.types import Prompting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = (
    ("baseline, direct", "base"), ("baseline", "cot"), ("instructed", "instruct"), ("refined", "refine"),
)  # fmt: skip
"""The bars of a benchmark from top to bottom, with their colours."""

METHODS = (("refine", "other", "refine only"), ("instruct", "instruct", "instruct only"), ("both", "refine", "both"))

_INCHES = 0.17


@dataclass(frozen=True)
class Measured:
    """A share in 0..1 and half the length of its whisker."""

    value: float
    error: float


@dataclass(frozen=True)
class Curve:
    """One training run's values at its steps."""

    label: str
    tone: str
    steps: Sequence[float]
    values: Sequence[float]


def bars(
    values: Mapping[str, Mapping[str, Measured]], teacher: Mapping[str, float], colours: Palette, *, highest: float
) -> Figure:
    """Draw accuracy by phase (the paper's Figures 2 and 3); ``values``: benchmark -> series -> bar.

    ``teacher``: benchmark -> the teacher's own accuracy; the axis ends at ``highest`` percent.
    """
    names = list(values)
    present = [(series, tone) for series, tone in SERIES if any(series in bars for bars in values.values())]
    made, axes = figure(0.85 + (0.18 + _INCHES * len(present)) * len(names), colours)
    thick = 0.82 / max(1, len(present))
    for index, (series, tone) in enumerate(present):
        drawn = [(row, values[name][series]) for row, name in enumerate(names) if series in values[name]]
        places = [row + (index - (len(present) - 1) / 2) * thick for row, _ in drawn]
        widths, errors = [100 * bar.value for _, bar in drawn], [100 * bar.error for _, bar in drawn]
        axes.barh(places, widths, height=thick * 0.9, color=colours[tone], label=series, linewidth=0)
        axes.errorbar(widths, places, xerr=errors, fmt="none", ecolor=colours["ink"], elinewidth=0.9, capsize=0)
    label: str | None = "teacher"
    for row, name in enumerate(names):
        if name in teacher:
            axes.plot([100 * teacher[name]] * 2, [row - 0.42, row + 0.42], color=colours["other"], lw=1.4,
                      dashes=(3, 2), label=label, clip_on=False)  # fmt: skip
            label = None
    axes.set_yticks(range(len(names)), [lettered(name) for name in names], color=colours["ink"])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, highest)
    axes.grid(axis="x", color=colours["line"], linewidth=0.7)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("accuracy in percent")
    legend(axes, colours)
    return made


def low_resource(
    points: Mapping[str, Mapping[float, Measured]],
    baseline: float | None,
    colours: Palette,
    *,
    heading: str,
    shared: str,
    highest: float,
) -> Figure:
    """Draw accuracy against the share of what was learnt from, ``shared`` (the paper's Figure 4).

    ``points``: method -> share -> accuracy; the axis ends at ``highest`` percent.
    """
    made, axes = figure(2.7, colours)
    if baseline is not None:
        axes.axhline(100 * baseline, color=colours["cot"], lw=1.2, dashes=(3, 2), label="baseline, CoT")
    for method, tone, label in METHODS:
        drawn = sorted(points.get(method, {}).items())
        if drawn:
            axes.errorbar(
                [100 * share for share, _ in drawn],
                [100 * point.value for _, point in drawn],
                yerr=[100 * point.error for _, point in drawn],
                color=colours[tone], marker="o", markersize=4, lw=1.6, elinewidth=0.9, capsize=0, label=label,
            )  # fmt: skip
    shares = sorted({100 * share for drawn in points.values() for share in drawn})
    axes.set_xticks(shares, [f"{share:g}%" for share in shares])
    axes.set_ylim(0, highest)
    axes.grid(axis="y", color=colours["line"], linewidth=0.7)
    axes.set_xlabel(f"share of the {shared}")
    axes.set_ylabel("accuracy in percent")
    title(axes, heading, colours, pad=38)
    legend(axes, colours)
    return made


def rounds(
    points: Mapping[Prompting, Mapping[int, Measured]], colours: Palette, *, heading: str, highest: float
) -> Figure:
    """Draw accuracy after each round of refining; round 0 is the instructed student.

    ``points``: prompting -> round -> accuracy; the axis ends at ``highest`` percent.
    """
    made, axes = figure(2.7, colours)
    tones: tuple[tuple[Prompting, str, str], ...] = (("cot", "refine", "CoT"), ("direct", "instruct", "direct"))
    for prompting, tone, label in tones:
        drawn = sorted(points.get(prompting, {}).items())
        if drawn:
            axes.errorbar(
                [number for number, _ in drawn],
                [100 * point.value for _, point in drawn],
                yerr=[100 * point.error for _, point in drawn],
                color=colours[tone], marker="o", markersize=4, lw=1.6, elinewidth=0.9, capsize=0, label=label,
            )  # fmt: skip
    numbers = sorted({number for drawn in points.values() for number in drawn})
    axes.set_xticks(numbers, [str(number) if number else "instructed" for number in numbers])
    axes.set_ylim(0, highest)
    axes.grid(axis="y", color=colours["line"], linewidth=0.7)
    axes.set_xlabel("round of refining")
    axes.set_ylabel("accuracy in percent")
    title(axes, heading, colours, pad=24)
    legend(axes, colours)
    return made


def training(curves: Sequence[Curve], colours: Palette, *, heading: str, unit: str) -> Figure:
    """Draw what trainings logged; curves of one label share their place in the legend."""
    made, axes = figure(2.3, colours)
    faint = 1.0 if len(curves) <= 4 else 0.55
    labels: set[str] = set()
    for curve in curves:
        label = None if curve.label in labels else curve.label
        labels.add(curve.label)
        marker = "o" if len(curve.steps) == 1 else None
        axes.plot(curve.steps, curve.values, color=colours[curve.tone], lw=1.3, alpha=faint, label=label,
                  marker=marker, markersize=4)  # fmt: skip
    axes.grid(axis="y", color=colours["line"], linewidth=0.7)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    title(axes, heading, colours, pad=24 if len(labels) > 1 else 8)
    if len(labels) > 1:
        legend(axes, colours)
    return made


def heatmap(
    values: Mapping[tuple[str, str], float],
    relations: Mapping[tuple[str, str], str],
    rows: Sequence[str],
    columns: Sequence[str],
    colours: Palette,
    *,
    heading: str,
) -> Figure:
    """Draw a matrix (the paper's Tables 1, 10 and 11); ``values``: (training task, test task) -> accuracy in 0..1.

    Trained cells have a full frame, in-domain ones a dashed one.
    """
    from matplotlib.patches import Rectangle

    made, axes = figure(0.8 + 0.46 * len(rows), colours)
    for (row, column), value in values.items():
        x, y = columns.index(column), rows.index(row)
        axes.add_patch(Rectangle((x, y), 1, 1, color=colours["refine"], alpha=0.06 + 0.6 * value, linewidth=0))
        axes.text(x + 0.5, y + 0.5, f"{100 * value:.1f}", ha="center", va="center", fontsize=9, color=colours["ink"])
        relation = relations.get((row, column), "")
        if relation in ("trained", "in-domain"):
            dashes = "-" if relation == "trained" else (0, (2, 2))
            axes.add_patch(
                Rectangle((x + 0.03, y + 0.04), 0.94, 0.92, fill=False, edgecolor=colours["ink"], linewidth=1.1,
                          linestyle=dashes)
            )  # fmt: skip
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([x + 0.5 for x in range(len(columns))], [lettered(name) for name in columns], color=colours["ink"])
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [lettered(name) for name in rows], color=colours["ink"])
    axes.xaxis.tick_top()
    for side in axes.spines.values():
        side.set_visible(False)
    title(axes, heading, colours)
    return made
