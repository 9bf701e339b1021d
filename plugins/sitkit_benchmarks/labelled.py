"""The options of OpenBookQA and CommonsenseQA: texts and letters side by side, and the right one's letter."""

from __future__ import annotations

from sitkit.types import LETTERS
from sitkit_benchmarks.rows import Row


def read_choices(row: Row) -> tuple[tuple[str, ...], str]:
    """Return the options in order and the letter of the right one. Raises `DataError`."""
    choices, labels = row.texts("choices.text"), row.texts("choices.label")
    expected = tuple(LETTERS[: len(choices)])
    if labels != expected:
        raise row.wrong("choices.label", f"expected {', '.join(expected)}, got {', '.join(labels)}")
    return choices, row.letter("answerKey", len(choices))
