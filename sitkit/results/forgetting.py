"""What training did to the lm-eval tasks that are scored beside the benchmarks: scores by phase, and their changes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sitkit.execution.executor import Outcome
from sitkit.plan import CellPlan, Plan
from sitkit.results.model import TaskChange, TaskScore, TaskSeed
from sitkit.results.rows import StoredRows
from sitkit.results.significance import compare
from sitkit.types import Json

_NORMAL = 1.959964
_EQUAL = 1e-9


def task_scores(plan: Plan, outcome: Outcome) -> tuple[TaskScore, ...]:
    """Return the metrics of every task after every phase."""
    found: dict[TaskScore, dict[int, TaskSeed]] = {}
    for planned in plan.task_cells:
        for row in outcome.artifacts[planned.node.key].info["metrics"]:
            seed = TaskSeed(seed=planned.seed, key=planned.node.key, value=row["value"], stderr=row["stderr"])
            found.setdefault(_blank(planned, row), {})[planned.seed] = seed
    return tuple(_summarised(score, list(seeds.values())) for score, seeds in found.items())


def task_changes(scores: Sequence[TaskScore], stored: StoredRows) -> tuple[TaskChange, ...]:
    """Return the change of each taught student's metrics from those of the student before any training."""
    first = {(one.student, *_metric(one)): at for at, one in enumerate(scores) if one.phase == "baseline"}
    return tuple(
        _change(scores, first[place], at, stored)
        for at, one in enumerate(scores)
        if one.phase != "baseline" and (place := (one.student, *_metric(one))) in first
    )


def _blank(planned: CellPlan, row: Json) -> TaskScore:
    return TaskScore(
        **planned.learner(),
        title=planned.benchmark,
        tasks=tuple(row["tasks"]),
        value=0.0,
        stderr=None,
        seeds=(),
        **{name: row[name] for name in ("task", "metric", "filter", "higher_is_better", "num_fewshot", "n")},
    )


def _metric(score: TaskScore) -> tuple[str, ...]:
    return score.title, score.task, score.metric, score.filter


def _summarised(score: TaskScore, seeds: Sequence[TaskSeed]) -> TaskScore:
    errors = [seed.stderr for seed in seeds if seed.stderr is not None]
    # The seeds share their documents: more of them make no document's error smaller.
    stderr = math.sqrt(statistics.fmean(error**2 for error in errors)) if len(errors) == len(seeds) else None
    return replace(score, value=statistics.fmean(seed.value for seed in seeds), stderr=stderr, seeds=tuple(seeds))


def _change(scores: Sequence[TaskScore], before: int, after: int, stored: StoredRows) -> TaskChange:
    earlier, later = scores[before], scores[after]
    by_seed = {seed.seed: seed for seed in earlier.seeds}
    shared = [(by_seed[seed.seed], seed) for seed in later.seeds if seed.seed in by_seed]
    value = statistics.fmean(b.value - a.value for a, b in shared) if shared else later.value - earlier.value
    rows = [(_counted(earlier, a, stored), _counted(later, b, stored)) for a, b in shared]
    known = [(a, b) for a, b in rows if a is not None and b is not None]
    paired = compare(known) if known and len(known) == len(rows) else None
    if paired is not None:
        return TaskChange(
            before=before, after=after, value=value, low=paired.low, high=paired.high, paired=paired
        )  # fmt: skip
    if earlier.stderr is None or later.stderr is None:
        return TaskChange(before=before, after=after, value=value, low=None, high=None)
    half = _NORMAL * math.hypot(earlier.stderr, later.stderr)
    return TaskChange(before=before, after=after, value=value, low=value - half, high=value + half)


def _counted(score: TaskScore, seed: TaskSeed, stored: StoredRows) -> Mapping[str, bool] | None:
    """Whether each document counts, where each counts 0 or 1 and the metric is their mean."""
    values = stored.documents(seed.key, score.tasks, score.metric, score.filter)
    if len(values) != score.n or not {*values.values()} <= {0.0, 1.0}:
        return None
    mean = statistics.fmean(values.values()) if values else math.nan
    return {name: bool(value) for name, value in values.items()} if abs(mean - seed.value) < _EQUAL else None
