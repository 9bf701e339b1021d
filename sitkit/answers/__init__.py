"""The one place that reads an answer out of a model's text and judges it: for filtering, pairing and scoring alike.

docs/answers.md says how a text is read, kind by kind, and what the paper's own string matching inflates. The readers
are loaded when the first text is read: a run that has nothing to read starts a tenth of a second sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sitkit.answers.correctness import extract, is_correct, is_worked

__all__ = ["READER_VERSION", "extract", "is_correct", "is_worked"]

READER_VERSION = 6
"""Raised whenever a text is read differently, so that nothing judged by an older reader is reused."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sitkit.answers import correctness

    return globals().setdefault(name, getattr(correctness, name))
