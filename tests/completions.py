"""What a student wrote, by prompt."""

from __future__ import annotations

from collections.abc import Iterable

from sitkit.types import Completion


def answered(given: Iterable[Completion | tuple[str, str]]) -> dict[str, str]:
    """Return prompt id -> text."""
    return {one.id: one.text for one in (Completion(*row) if isinstance(row, tuple) else row for row in given)}
