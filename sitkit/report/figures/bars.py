"""Bars of accuracy by phase, one panel for each way a student was taught (the paper's Figures 2 and 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.figures.style import colour, figure, legend, lettered, svg

SERIES = (
    ("baseline, direct", "base"), ("baseline", "cot"), ("instructed", "instruct"), ("refined", "refine"),
)  # fmt: skip
"""The bars of a benchmark from top to bottom, with their colours."""

_INCHES = 0.17


@dataclass(frozen=True)
class Bar:
    """A share in 0..1 and half the length of its whisker."""

    value: float
    error: float


def bars(
    values: Mapping[str, Mapping[str, Bar]],
    names: Sequence[str],
    teacher: Mapping[str, float],
    *,
    highest: float,
    name: str,
) -> str:
    """Return the SVG; ``values``: benchmark -> series -> bar; ``teacher``: benchmark -> the teacher's own accuracy.

    The axis ends at ``highest`` percent.
    """
    present = [(series, tone) for series, tone in SERIES if any(series in bars for bars in values.values())]
    made, axes = figure(0.85 + (0.18 + _INCHES * len(present)) * len(names))
    thick = 0.82 / max(1, len(present))
    for index, (series, tone) in enumerate(present):
        places, widths, errors = [], [], []
        for row, benchmark in enumerate(names):
            bar = values.get(benchmark, {}).get(series)
            if bar is not None:
                places.append(row + (index - (len(present) - 1) / 2) * thick)
                widths.append(100 * bar.value)
                errors.append(100 * bar.error)
        if places:
            axes.barh(places, widths, height=thick * 0.9, color=colour(tone), label=series, linewidth=0)
            axes.errorbar(widths, places, xerr=errors, fmt="none", ecolor=colour("ink"), elinewidth=0.9, capsize=0)
    for row, benchmark in enumerate(names):
        if benchmark in teacher:
            first = "teacher" if benchmark == next(iter(teacher)) else None
            axes.plot([100 * teacher[benchmark]] * 2, [row - 0.42, row + 0.42], color=colour("other"), lw=1.4,
                      dashes=(3, 2), label=first)  # fmt: skip
    axes.set_yticks(range(len(names)), [lettered(one) for one in names], color=colour("ink"))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, highest)
    axes.grid(axis="x", color=colour("line"), linewidth=0.7)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("accuracy in percent")
    legend(axes)
    return svg(made, name)
