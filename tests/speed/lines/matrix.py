"""A 4 x 4 matrix, every task trained on and refined on every task, against its cells run one by one.

Twice: each of its 84 scores with all it stands on, and sixteen runs of one pair of tasks, each scored on all four.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sitkit.execution.here_executor import run_plan
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store
from tests.speed.measure import Options, Row, clock, in_turn, medians

NAMES = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
PAIRS = "sixteen runs, one a pair of tasks"


@dataclasses.dataclass
class Side:
    """What a side did: how often each stage, the seconds of its last time, and the scores, all by the stage's key."""

    stages: Counter[str] = dataclasses.field(default_factory=Counter)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    scores: dict[str, Any] = dataclasses.field(default_factory=dict)

    def walk(self, recipe: Recipe, keys: set[str] | None = None) -> float:
        """Run a recipe, or of it the stages with these keys, in a store of its own; return the seconds."""
        registry = load_plugins()
        started = clock()
        plan = build_plan(recipe, registry)
        if keys is not None:
            plan = dataclasses.replace(plan, nodes=tuple(one for one in plan.nodes if one.key in keys))
        with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
            outcome = run_plan(plan, Store(Path(folder)), registry, lambda event: None)
        plan.close()
        seconds = clock() - started
        for record in outcome.stages:
            self.stages[record.key] += 1
            self.seconds[record.key] = record.seconds
            if "scores" in record.info:
                self.scores[record.key] = [score["value"] for score in record.info["scores"]]
        return seconds


def measure(options: Options) -> list[Row]:
    """Run all in one process, so that the imports, which each command of its own would pay, count for none."""
    small = 20 if options.quick else 40
    steps = {"instruct": {"max_steps": 6}, "refine": {"max_steps": 6}}
    recipe = Recipe(train_on=NAMES, cross=True, limit=small, test_limit=small, settings=steps)
    pairs = [
        dataclasses.replace(recipe, cross=False, train_on=(first,), refine_on=(second,), eval_on=NAMES)
        for first in NAMES
        for second in NAMES
    ]
    plan = build_plan(recipe, load_plugins())
    below = closures(plan)
    cells = [below[cell.node.key] for cell in plan.cells]
    plan.close()
    sides: dict[str, Side] = {}

    def whole() -> float:
        sides["sitkit"] = Side()
        return sides["sitkit"].walk(recipe)

    def alone() -> float:
        sides["peer"] = Side()
        return sum(sides["peer"].walk(recipe, keys) for keys in cells)

    def by_pairs() -> float:
        sides[PAIRS] = Side()
        return sum(sides[PAIRS].walk(one) for one in pairs)

    # What is loaded once a process, imports above all, is loaded here.
    Side().walk(pairs[0])
    taken = in_turn(1 if options.quick else min(2, options.pairs), {"sitkit": whole, "peer": alone, PAIRS: by_pairs})
    middle = medians(taken)
    ours, theirs, sixteen = sides["sitkit"], sides["peer"], sides[PAIRS]
    same = sum(ours.scores[key] == value for key, value in theirs.scores.items())
    own = sum(ours.seconds[key] for key, times in sixteen.stages.items() if times == 1)
    size = f"{small} questions a task, 6 training steps"
    return [
        Row(
            "matrix",
            "embedded, 84 cells alone",
            "s",
            middle["sitkit"],
            middle["peer"],
            goal=3.0,
            note=f"{ours.stages.total()} stages against {theirs.stages.total()}; {same} of {len(theirs.scores)} cells"
            f" score the same; {size}",
            samples=taken,
        ),
        Row(
            "matrix",
            f"embedded, {PAIRS}",
            "s",
            middle["sitkit"],
            middle[PAIRS],
            floor=own,
            note=f"{ours.stages.total()} stages against {sixteen.stages.total()}; floor: the stages no two runs share",
            samples=taken,
        ),
    ]


def closures(plan: Plan) -> dict[str, set[str]]:
    """Return for each stage the keys of all it stands on, its own among them."""
    found: dict[str, set[str]] = {}
    for one in plan.nodes:
        found[one.key] = {one.key}.union(*(found[source.key] for source in one.stage.inputs))
    return found
