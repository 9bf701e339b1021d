"""How every figure looks: its size, its palette, and how it is written as SVG.

For the page a figure is drawn in placeholder colours, each of which is replaced by ``var(--name, light)`` in the SVG.
So one drawing serves light and dark: within the page, whose style sheet defines the names, and as a file, which brings
them along.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitkit.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.6
"""Inches of a panel: at 72 points an inch, what a narrow phone shows at its natural size."""

COLOURS: Mapping[str, tuple[str, str]] = {
    "ink": ("#1d2126", "#e4e6e8"),
    "soft": ("#5d656e", "#a2a9b1"),
    "line": ("#dfe2e5", "#363b41"),
    "paper": ("#ffffff", "#16191c"),
    "base": ("#c3c8ce", "#59616a"),
    "cot": ("#8d959e", "#89929c"),
    "instruct": ("#4f83c4", "#6b9fe0"),
    "refine": ("#c8652b", "#e58a52"),
    "other": ("#4d9078", "#6fb69b"),
}
"""Name -> its colour in light and in dark. `page/page.css` has the same."""

Palette = Mapping[str, str]
"""Name of `COLOURS` -> what matplotlib draws with."""

LIGHT: Palette = {name: light for name, (light, _) in COLOURS.items()}
"""The palette of figures that are shown as they are, in a notebook or on paper."""

THEMED: Palette = {name: f"#0000{index:02x}" for index, name in enumerate(COLOURS, 1)} | {"paper": "none"}
"""The palette of figures for `svg`: placeholders, on the ground of whatever page they stand on."""


def figure(height: float, colours: Palette, width: float = WIDTH) -> tuple[Figure, Any]:
    """Return a figure of that many inches and its axes, without a frame and without any global state."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained", facecolor=colours["paper"])
    axes = made.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(colours["line"])
    axes.tick_params(colors=colours["soft"], labelsize=9, length=0, pad=4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(colours["soft"])
        axis.label.set_fontsize(9)
    return made, axes


def legend(axes: Any, colours: Palette, columns: int = 2) -> None:
    """Draw the legend above the axes, without a box."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, frameon=False, fontsize=8.5, handlelength=1.2,
        columnspacing=1.4, handletextpad=0.5, borderaxespad=0.3, labelcolor=colours["soft"],
    )  # fmt: skip


def title(axes: Any, text: str, colours: Palette, pad: float = 8) -> None:
    """Write a panel's title, ``pad`` points above it."""
    axes.set_title(lettered(text), loc="left", fontsize=10, color=colours["ink"], pad=pad)


def end_of_axis(shares: Iterable[float]) -> float:
    """Return the percent at which an axis of accuracies ends, for panels that are to be compared."""
    return min(100.0, 20.0 * math.ceil(100 * max(shares, default=1.0) / 20 + 0.01))


def lettered(text: str) -> str:
    """Return a text as matplotlib draws it letter by letter: without formulas, and without what XML cannot hold."""
    shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown.replace("$", r"\$")


def svg(made: Figure, name: str) -> str:
    """Return a figure drawn with `THEMED` as SVG, the same text for the same figure.

    ``name`` makes its ids its own within a page.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": ["DejaVu Sans"]}):
        made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _themed(buffer.getvalue(), name)


def standalone(drawn: str) -> str:
    """Return the SVG as a file of its own, with its colours for light and dark."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in COLOURS.items())
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    head, opening, rest = drawn.partition(">")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{opening}{style}{rest}'


def _themed(drawn: str, name: str) -> str:
    drawn = drawn[drawn.index("<svg") :]
    for known, placeholder in THEMED.items():
        if placeholder != "none":
            drawn = drawn.replace(placeholder, f"var(--{known},{LIGHT[known]})")
    drawn = re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)
    # Its rule for every element would hold for the whole page; what it says is inherited from the root as well.
    drawn = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>\s*", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("<svg ", '<svg style="stroke-linejoin:round;stroke-linecap:butt" ', 1)
    drawn = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "system-ui, 'DejaVu Sans', sans-serif", drawn)
    # Ids are known to the whole page: two figures must not share one.
    drawn = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', drawn)
    drawn = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", drawn)
    return re.sub(r"\s*\n\s*", "\n", drawn).strip()


def write_figures(drawn: Mapping[str, str], folder: Path) -> None:
    """Write every figure, by name, as a file of its own, and remove those of an earlier page that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        write_atomically(folder / f"{name}.svg", standalone(picture))
    for old in folder.glob("*.svg"):
        if old.stem not in drawn:
            old.unlink()
