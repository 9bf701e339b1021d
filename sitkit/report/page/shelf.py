"""The figures of a page: drawn once, kept for the page and as files of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sitkit.report.figures.style import standalone
from sitkit.report.page.html import Html
from sitkit.report.page.parts import picture
from sitkit.store import write_atomically

FIGURES = "figures"


@dataclass
class Shelf:
    """Figures by name."""

    drawn: dict[str, str] = field(default_factory=dict)

    def draw(self, name: str, make: Callable[[], str]) -> str:
        """Draw a figure and keep it."""
        self.drawn[name] = make()
        return self.drawn[name]

    def picture(self, name: str, caption: str, make: Callable[[], str]) -> Html:
        """Draw a figure, keep it, and return it for the page."""
        return picture(self.draw(name, make), caption, f"{FIGURES}/{name}.svg")

    def write(self, folder: Path) -> None:
        """Write every figure as a file and remove those of an earlier page that are no more."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawn in self.drawn.items():
            write_atomically(folder / f"{name}.svg", standalone(drawn))
        for old in folder.glob("*.svg"):
            if old.stem not in self.drawn:
                old.unlink()
