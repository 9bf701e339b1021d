"""The tables of what a judge said of a run: mean ratings, and how they change from phase to phase."""

from __future__ import annotations

from collections.abc import Sequence

from sitkit.report.tables import Table
from sitkit.results.judgements import Judgement, Party, Rating, RatingChange


def judgement_tables(judgement: Judgement) -> Sequence[Table]:
    """Return the tables of one judge: its ratings, and their changes where several phases were rated."""
    return [table for table in (rating_table(judgement), change_table(judgement)) if table.rows]


def rating_table(judgement: Judgement) -> Table:
    """Mean rating per phase and benchmark and for all, with its standard error."""
    rows: dict[tuple[str, ...], dict[str | None, Rating]] = {}
    columns = _Columns(judgement.ratings)
    for rating in judgement.ratings:
        place = (*columns.cells(rating), rating.phase, rating.prompting)
        rows.setdefault(place, {})[rating.benchmark] = rating
    benchmarks = _benchmarks(judgement.ratings)
    drawn = []
    for place, by_benchmark in rows.items():
        whole = by_benchmark[None]
        means = (_mean(by_benchmark.get(name)) for name in (*benchmarks, None))
        drawn.append((*place, *means, str(whole.n), str(whole.unread), str(whole.failed)))
    headings = (*columns.names, "phase", "prompting", *benchmarks, "all", "n", "unread", "failed")
    note = (
        f"Mean of 1 to 3 ± standard error over questions, by {judgement.judge} with the prompt of the paper's Table"
        " 12; the same questions in every row. unread: replies without a rating; failed: no reply."
    )
    return Table(f"Ratings by {judgement.judge}", headings, tuple(drawn), note)


def change_table(judgement: Judgement) -> Table:
    """Mean difference between phases per benchmark and for all, question by question, with its 95% interval."""
    columns = _Columns(judgement.changes)
    rows: dict[tuple[str, ...], dict[str | None, RatingChange]] = {}
    for change in judgement.changes:
        place = (*columns.cells(change), change.prompting, f"{change.before} to {change.after}")
        rows.setdefault(place, {})[change.benchmark] = change
    benchmarks = _benchmarks(judgement.changes)
    drawn = tuple(
        (
            *place,
            *(_difference(by_benchmark.get(name)) for name in (*benchmarks, None)),
            str(by_benchmark[None].n),
        )
        for place, by_benchmark in rows.items()
    )
    headings = (*columns.names, "prompting", "phases", *benchmarks, "all", "n")
    note = (
        "Mean of the later rating minus the earlier one of the same question ± 95% t-interval over questions (students"
        " are taken as they are: one seed of training). Where every rating changed alike the interval has no width,"
        " which does not make it certain."
    )
    return Table(f"Change of the ratings by {judgement.judge}", headings, drawn, note)


def _benchmarks(rows: Sequence[Rating | RatingChange]) -> list[str]:
    return list(dict.fromkeys(row.benchmark for row in rows if row.benchmark is not None))


class _Columns:
    """The columns that tell the parties of the rows apart; none where there is but one."""

    _NAMES = ("student", "teacher", "train_on", "refine_on", "fraction", "method")

    def __init__(self, rows: Sequence[Rating | RatingChange]) -> None:
        several = {name: len({_said(row, name) for row in rows} - {""}) > 1 for name in self._NAMES}
        self.names = tuple(name for name, differs in several.items() if differs)

    def cells(self, row: Rating | RatingChange) -> tuple[str, ...]:
        return tuple(_said(row, name) for name in self.names)


def _said(row: Party, name: str) -> str:
    value = getattr(row, name)
    if isinstance(value, float):
        # Untrained students, teachers and targets had no demonstrations, so none were a share of them.
        return f"{value:g}" if row.train_on or row.refine_on else ""
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _mean(rating: Rating | None) -> str:
    if rating is None or rating.mean is None:
        return "-"
    return f"{rating.mean:.2f}" + ("" if rating.stderr is None else f" ± {rating.stderr:.2f}")


def _difference(change: RatingChange | None) -> str:
    if change is None:
        return "-"
    half = "" if change.high is None else f" ± {change.high - change.difference:.2f}"
    return f"{change.difference:+.2f}{half}"
