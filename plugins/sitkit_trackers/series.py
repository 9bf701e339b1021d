"""What trackers get of a run, as numbers over steps: scores over the phases, pair counts, training curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.types import PHASES

SCORES = "scores"
"""The group of what is no training curve."""

_ARM = ("student", "teacher", "strategy", "fraction", "train_on", "refine_on", "method")
_COUNTS = ("questions", "direct_correct", "cot_correct", "total", "rejected_correct", "left_out")


@dataclass(frozen=True)
class Series:
    """Numbers over steps, under the name of a curve; ``group`` tells the curves of one stage or arm from others'."""

    group: str
    name: str
    points: Sequence[tuple[int, float]]


def scores(results: Results) -> Iterator[Series]:
    """Yield each benchmark's accuracy over the phases, by arm, seed and prompting; a baseline starts every curve."""
    several = [name for name in _ARM if len({getattr(arm, name) for arm in results.arms}) > 1]
    seeds = {seed for arm in results.arms for seed in arm.seeds}
    for arm in results.arms:
        for seed in arm.seeds:
            words = [*(_text(getattr(arm, name)) for name in several), *([str(seed)] if len(seeds) > 1 else [])]
            points: dict[str, dict[int, float]] = {}
            for cell in results.cells_of(arm):
                for score in cell.seeds:
                    if score.seed == seed:
                        name = f"accuracy/{cell.benchmark}/{cell.prompting}"
                        points.setdefault(name, {})[PHASES.index(cell.phase)] = score.value
            for name, values in points.items():
                yield Series(" ".join([SCORES, *words]), name, sorted(values.items()))


def counts(results: Results) -> Iterator[Series]:
    """Yield how many pairs there are and where they came from, over all arms and seeds."""
    totals: dict[str, int] = {}
    for pairs in results.pairs:
        found = {name: getattr(pairs, name) for name in _COUNTS}
        found |= {f"chosen_from_{origin}": count for origin, count in pairs.chosen_from.items()}
        for name, count in found.items():
            totals[name] = totals.get(name, 0) + count
    for name, total in totals.items():
        yield Series(SCORES, f"pairs/{name}", [(0, float(total))])


def curves(results: Results, stored: StoredRows) -> Iterator[Series]:
    """Yield the training curves of every instructed and refined student, from the store; what is gone is left out."""
    for training in results.training:
        points: dict[str, list[tuple[int, float]]] = {}
        for row in stored.rows(training.stage, training.key) or ():
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float):
                    points.setdefault(name, []).append((int(row.get("step", 0)), float(value)))
        for name, values in points.items():
            yield Series(f"{training.stage} {training.label}", f"train/{name}", values)


def _text(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
