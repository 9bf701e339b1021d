"""A 4 x 4 matrix, every task trained on and refined on every task, against its sixteen cells run one by one."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from benchmarks.measure import Options, Row, clock, in_turn, medians
from sitkit.pipeline import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import EMBEDDED_EVAL, Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store


def measure(options: Options) -> list[Row]:
    """Run both in one process, so that the imports, which each command of its own would pay, count for neither."""
    small = 20 if options.quick else 40
    steps = {"instruct": {"max_steps": 6}, "refine": {"max_steps": 6}}
    recipe = Recipe(train_on=EMBEDDED_EVAL, cross=True, limit=small, test_limit=small, settings=steps)
    alone = [
        dataclasses.replace(recipe, cross=False, train_on=(first,), refine_on=(second,), eval_on=EMBEDDED_EVAL)
        for first in EMBEDDED_EVAL
        for second in EMBEDDED_EVAL
    ]
    stages: dict[str, int] = {}

    def whole() -> float:
        stages["whole"] = 0
        return _run(recipe, stages, "whole")

    def cells() -> float:
        stages["cells"] = 0
        return sum(_run(one, stages, "cells") for one in alone)

    # What is loaded once a process, imports above all, is loaded here.
    _run(alone[0], {"first": 0}, "first")
    taken = in_turn(1 if options.quick else min(2, options.pairs), {"sitkit": whole, "peer": cells})
    middle = medians(taken)
    return [
        Row(
            "matrix",
            "embedded, 4 x 4",
            "s",
            middle["sitkit"],
            middle["peer"],
            goal=3.0,
            note=f"{stages['whole']} stages against {stages['cells']}; {small} questions a task, 6 training steps",
            samples=taken,
        )
    ]


def _run(recipe: Recipe, stages: dict[str, int], name: str) -> float:
    registry = load_plugins()
    started = clock()
    plan = build_plan(recipe, registry)
    stages[name] += len(plan.nodes)
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        run_plan(plan, Store(Path(folder)), registry, lambda event: None)
    plan.close()
    return clock() - started
