"""Bars of accuracy by phase, one panel for each way a student was taught (the paper's Figures 2 and 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.figures.style import colour, figure, legend, svg

SERIES = (
    ("baseline", "base"), ("baseline, CoT", "cot"), ("instructed, CoT", "instruct"), ("refined, CoT", "refine"),
)  # fmt: skip
"""The bars of a benchmark from top to bottom, with their colours."""

_BAR = 0.19


@dataclass(frozen=True)
class Bar:
    """A share in 0..1 and half the length of its whisker."""

    value: float
    error: float


def bars(
    values: Mapping[str, Mapping[str, Bar]], names: Sequence[str], teacher: Mapping[str, float], *, name: str
) -> str:
    """Return the SVG; ``values``: benchmark -> series -> bar; ``teacher``: benchmark -> the teacher's own accuracy."""
    made, axes = figure(0.75 + 0.86 * len(names))
    for index, (series, tone) in enumerate(SERIES):
        places, widths, errors = [], [], []
        for row, benchmark in enumerate(names):
            bar = values.get(benchmark, {}).get(series)
            if bar is not None:
                places.append(row + (index - 1.5) * _BAR)
                widths.append(100 * bar.value)
                errors.append(100 * bar.error)
        if places:
            axes.barh(places, widths, height=_BAR * 0.9, color=colour(tone), label=series, linewidth=0)
            axes.errorbar(widths, places, xerr=errors, fmt="none", ecolor=colour("ink"), elinewidth=0.9, capsize=0)
    for row, benchmark in enumerate(names):
        if benchmark in teacher:
            label = "teacher" if benchmark == next(iter(teacher)) else None
            axes.plot([100 * teacher[benchmark]] * 2, [row - 0.42, row + 0.42], color=colour("other"), lw=1.4,
                      dashes=(3, 2), label=label)  # fmt: skip
    axes.set_yticks(range(len(names)), list(names), color=colour("ink"))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", color=colour("line"), linewidth=0.7)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("accuracy in percent")
    legend(axes)
    return svg(made, name)
