"""Curves: accuracy against the share of demonstrations (the paper's Figure 4), and what training logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.figures.style import colour, figure, legend, lettered, plain, svg, title

METHODS = (("refine", "other", "refine only"), ("instruct", "instruct", "instruct only"), ("both", "refine", "both"))


@dataclass(frozen=True)
class Point:
    """Accuracy (0 to 1) with its whisker at a share of the demonstrations."""

    fraction: float
    value: float
    error: float


@dataclass(frozen=True)
class Curve:
    """One training run's values at its steps."""

    label: str
    tone: str
    steps: Sequence[float]
    values: Sequence[float]


def low_resource(
    points: Mapping[str, Sequence[Point]], baseline: float | None, *, heading: str, highest: float, name: str
) -> str:
    """Return the SVG of one benchmark; ``points``: method -> its points; the axis ends at ``highest`` percent."""
    made, axes = figure(2.7)
    if baseline is not None:
        axes.axhline(100 * baseline, color=colour("cot"), lw=1.2, dashes=(3, 2), label="baseline, CoT")
    for method, tone, said in METHODS:
        drawn = sorted(points.get(method, ()), key=lambda point: point.fraction)
        if drawn:
            axes.errorbar(
                [100 * point.fraction for point in drawn],
                [100 * point.value for point in drawn],
                yerr=[100 * point.error for point in drawn],
                color=colour(tone), marker="o", markersize=4, lw=1.6, elinewidth=0.9, capsize=0, label=said,
            )  # fmt: skip
    shares = sorted({100 * point.fraction for drawn in points.values() for point in drawn})
    axes.set_xticks(shares, [f"{share:g}%" for share in shares])
    axes.set_ylim(0, highest)
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_xlabel("share of the demonstrations")
    axes.set_ylabel("accuracy in percent")
    axes.set_title(lettered(heading), loc="left", fontsize=10, color=colour("ink"), pad=38)
    legend(axes)
    return svg(made, name)


def training(curves: Sequence[Curve], *, heading: str, unit: str, name: str) -> str:
    """Return the SVG of curves that share their axes; curves of one label share their place in the legend."""
    made, axes = figure(2.3)
    faint = 1.0 if len(curves) <= 4 else 0.55
    seen: set[str] = set()
    for curve in curves:
        shown = None if curve.label in seen else curve.label
        seen.add(curve.label)
        marker = "o" if len(curve.steps) == 1 else None
        axes.plot(curve.steps, curve.values, color=colour(curve.tone), lw=1.3, alpha=faint, label=shown, marker=marker,
                  markersize=4)  # fmt: skip
    plain(axes)
    axes.grid(axis="y", color=colour("line"), linewidth=0.7)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    if len(seen) > 1:
        axes.set_title(heading, loc="left", fontsize=10, color=colour("ink"), pad=24)
        legend(axes)
    else:
        title(axes, heading)
    return svg(made, name)
