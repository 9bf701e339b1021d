"""Rows as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from tests.speed.measure import Row

HEADER = ("line", "work", "sitkit", "peer", "ratio", "to reach", "share of floor", "note")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, medians and ratios rounded."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "", False: " (not reached)", None: ""}[row.reached]
    if row.limit is not None:
        wanted = f"{'at least' if row.higher else 'at most'} {_number(row.limit)} {row.unit}"
    else:
        wanted = "-" if row.goal is None else f"{row.goal:.3g}x"
    return (
        row.line,
        row.work,
        f"{_number(row.sitkit)} {row.unit}",
        "-" if row.peer is None else f"{_number(row.peer)} {row.unit}",
        "-" if row.ratio is None else f"{row.ratio:.2f}x",
        wanted + verdict,
        "-" if row.share is None else f"{row.share:.0%}",
        row.note,
    )


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
