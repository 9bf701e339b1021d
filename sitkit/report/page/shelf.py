"""The figures of a page: drawn once, kept for the page and as files of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sitkit.report.figures.style import standalone
from sitkit.report.page.html import Html
from sitkit.report.page.parts import picture
from sitkit.store import write_atomically

FIGURES = "figures"


@dataclass
class FigureSet:
    """Figures by name."""

    drawn: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, drawn: str) -> str:
        """Keep a figure and return it."""
        self.drawn[name] = drawn
        return drawn

    def picture(self, name: str, caption: str, drawn: str, *, titled: bool = False) -> Html:
        """Keep a figure and return it for the page; ``titled``: it has its caption as its title."""
        return picture(self.keep(name, drawn), caption, f"{FIGURES}/{name}.svg", titled=titled)

    def write(self, folder: Path) -> None:
        """Write every figure as a file and remove those of an earlier page that are no more."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawn in self.drawn.items():
            write_atomically(folder / f"{name}.svg", standalone(drawn))
        for old in folder.glob("*.svg"):
            if old.stem not in self.drawn:
                old.unlink()
