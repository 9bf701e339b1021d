"""The matrix as a heat map (the paper's Tables 1, 10 and 11): a row for the training task, a column for the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sitkit.report.figures.style import colour, figure, lettered, svg, title


def heatmap(
    values: Mapping[tuple[str, str], float],
    transfers: Mapping[tuple[str, str], str],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    heading: str,
    name: str,
) -> str:
    """Return the SVG; ``values``: (row, column) -> accuracy in 0..1, missing where there is none.

    Trained cells have a full frame, in-domain ones a dashed one.
    """
    from matplotlib.patches import Rectangle

    made, axes = figure(0.8 + 0.46 * len(rows))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            value = values.get((row, column))
            if value is None:
                continue
            axes.add_patch(Rectangle((x, y), 1, 1, color=colour("refine"), alpha=0.06 + 0.6 * value, linewidth=0))
            axes.text(x + 0.5, y + 0.5, f"{100 * value:.1f}", ha="center", va="center", fontsize=9, color=colour("ink"))
            transfer = transfers.get((row, column), "")
            if transfer in ("trained", "in-domain"):
                dashes = "-" if transfer == "trained" else (0, (2, 2))
                axes.add_patch(
                    Rectangle((x + 0.03, y + 0.04), 0.94, 0.92, fill=False, edgecolor=colour("ink"), linewidth=1.1,
                              linestyle=dashes)
                )  # fmt: skip
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([x + 0.5 for x in range(len(columns))], [lettered(one) for one in columns], color=colour("ink"))
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [lettered(one) for one in rows], color=colour("ink"))
    axes.xaxis.tick_top()
    for side in axes.spines.values():
        side.set_visible(False)
    title(axes, heading)
    return svg(made, name)
