"""Ratings to numbers: means per phase, and differences between phases over the same questions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from sitkit.judging.cells import JUDGED, Cell
from sitkit.judging.items import Item
from sitkit.types import PHASES, PROMPTINGS, Json

UNANSWERED = "left unanswered"
"""The outcome of an answer that the judge said nothing about, not even that it failed."""

_RATINGS = (1, 2, 3)


@dataclass(frozen=True)
class Rated:
    """An answer with what became of it: ``rating`` is None where there is none; ``failed``: there was no reply.

    ``tampered``: the answer itself holds a rating or a heading of the judge's prompt.
    """

    item: Item
    rating: int | None
    failed: bool
    tampered: bool


def rating_rows(rated: Sequence[Rated]) -> list[dict[str, Json]]:
    """Return a row per student, phase, prompting and benchmark, and one for all benchmarks (``benchmark``: None).

    ``stderr`` is the standard error of the mean over questions (None for fewer than two).
    """
    rows = []
    for group in _groups(rated):
        cell = group[0].item.cell
        for benchmark, members in _by_benchmark(group):
            values = [float(one.rating) for one in members if one.rating is not None]
            rows.append(
                {
                    **cell.about,
                    "phase": cell.phase,
                    "prompting": cell.prompting,
                    "benchmark": benchmark,
                    "n": len(values),
                    "mean": statistics.fmean(values) if values else None,
                    "stderr": _stderr(values),
                    "counts": {str(one): values.count(one) for one in _RATINGS},
                    "unread": sum(one.rating is None and not one.failed for one in members),
                    "failed": sum(one.failed for one in members),
                    "tampered": sum(one.tampered for one in members),
                }
            )
    return rows


def difference_rows(rated: Sequence[Rated]) -> list[dict[str, Json]]:
    """Return, per pair of phases of one student and per benchmark and for all, the mean difference of the ratings.

    It is taken question by question, over those rated in both phases; ``low`` and ``high`` are the ends of the 95%
    t-interval (None for fewer than two questions). The interval takes the questions as a random sample, and the
    student as it is: another seed of training is not in it.
    """
    groups, rows = _groups(rated), list[dict[str, Json]]()
    for prompting, earlier, later in product(PROMPTINGS, groups, groups):
        if later[0].item.cell.prompting == prompting and _follows(later[0].item.cell, earlier[0].item.cell):
            rows += _differences(earlier, later)
    return rows


def _differences(earlier: Sequence[Rated], later: Sequence[Rated]) -> Iterator[dict[str, Json]]:
    before = {_question(one): one.rating for one in earlier if one.rating is not None}
    cell = later[0].item.cell
    for benchmark, members in _by_benchmark(later):
        values = [
            float(one.rating - before[_question(one)])
            for one in members
            if one.rating is not None and _question(one) in before
        ]
        if values:
            mean, stderr = statistics.fmean(values), _stderr(values)
            half = None if stderr is None else _quantile(len(values) - 1) * stderr
            yield {
                **cell.about,
                "from": earlier[0].item.cell.phase,
                "to": cell.phase,
                "prompting": cell.prompting,
                "benchmark": benchmark,
                "n": len(values),
                "difference": mean,
                "stderr": stderr,
                "low": None if half is None else mean - half,
                "high": None if half is None else mean + half,
            }


def _groups(rated: Sequence[Rated]) -> list[list[Rated]]:
    """The ratings of one student after one phase under one prompting, phases in order."""
    groups: dict[tuple[object, ...], list[Rated]] = {}
    for one in rated:
        cell = one.item.cell
        groups.setdefault((cell.phase, cell.prompting, *map(str, cell.about.values())), []).append(one)
    return sorted(groups.values(), key=lambda group: JUDGED.index(group[0].item.cell.phase))


def _by_benchmark(group: Sequence[Rated]) -> Iterator[tuple[str | None, list[Rated]]]:
    names = list(dict.fromkeys(one.item.cell.benchmark for one in group))
    for name in names:
        yield name, [one for one in group if one.item.cell.benchmark == name]
    yield None, list(group)


def _question(one: Rated) -> tuple[str, str]:
    return one.item.cell.benchmark, one.item.question_id


def _follows(later: Cell, earlier: Cell) -> bool:
    """Whether the one is the same student as the other, further on; a baseline is everybody's of its student."""
    if later.phase not in PHASES or later.prompting != earlier.prompting:
        return False
    if JUDGED.index(later.phase) <= JUDGED.index(earlier.phase):
        return False
    same: tuple[str, ...] = ("student", "seed")
    if earlier.phase != PHASES[0]:
        same = (*same, "teacher", "strategy", "train_on", "fraction", "method")
    return all(later.about.get(name) == earlier.about.get(name) for name in same)


def _stderr(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
