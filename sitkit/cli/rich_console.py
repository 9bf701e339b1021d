"""rich's console, for tables and live lines: the other way to the terminal, cleaned like `sitkit.cli.terminal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sitkit.plain_text import visible


class CleanConsole(Console):
    """A console whose own styles reach the terminal as escape sequences, but none of the texts'."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed, cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
