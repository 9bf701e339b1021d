"""Questions kept out of refining are answered before and after it, and a collapse is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.results.build import build_results
from sitkit.results.rows import StoredRows
from sitkit.stages import Refine
from sitkit.stages.pair import PAIRS
from sitkit.stages.watch import Watched, faults
from sitkit.store import Store
from sitkit.store.jsonl import read_rows
from sitkit.types import PreferencePair

RECIPE = Recipe(teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",))

LOST, LIMIT = "4 where 10 were (6 lost, 0 gained, p = 0.031)", "evaluate.max_new_tokens"


def watching(count: int) -> Recipe:
    return replace(RECIPE, settings={"refine": {"watch": count}})


def refined(registry: Registry, workspace: Path, recipe: Recipe) -> tuple[Any, Any, Any]:
    plan = build_plan(recipe, registry)
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    (node,) = (node for node in plan.nodes if isinstance(node.stage, Refine))
    return node, outcome, build_results(plan, outcome, StoredRows(workspace))


def test_watched_questions_are_kept_out_and_answered_twice(example: Registry, tmp_path: Path) -> None:
    node, outcome, results = refined(example, tmp_path, watching(3))
    pairs = read_rows(outcome.artifacts[node.stage.paired.key].folder / PAIRS, PreferencePair)
    told = outcome.artifacts[node.key].info
    watched = {question.id for question in node.stage._watched()}
    assert len(watched) == 3
    assert told["pairs"] == sum(pair.question_id not in watched for pair in pairs) < len(pairs)
    assert node.stage.prompts() == 6
    (training,) = (one for one in results.training if one.stage == "refine")
    assert training.metrics["watched"] == 3
    assert 0 <= training.metrics["watched_before"] <= 1
    assert 0 <= training.metrics["watched_after"] <= 1


def test_what_was_refined_unwatched_stays_valid(example: Registry, tmp_path: Path) -> None:
    plain, outcome, _ = refined(example, tmp_path, RECIPE)
    off, again, _ = refined(example, tmp_path, watching(0))
    assert plain.key == off.key
    assert all(stage.reused for stage in again.stages)
    assert "watched" not in outcome.artifacts[plain.key].info["metrics"]
    watched, _, _ = refined(example, tmp_path, watching(3))
    other, _, _ = refined(
        example, tmp_path, replace(RECIPE, settings={"refine": {"watch": 3}, "evaluate": {"max_new_tokens": 7}})
    )
    assert len({plain.key, watched.key, other.key}) == 3


def test_at_most_half_of_the_questions_are_watched(example: Registry, tmp_path: Path) -> None:
    node, outcome, _ = refined(example, tmp_path, watching(1000))
    every = len(node.stage._questions())
    assert outcome.artifacts[node.key].info["metrics"]["watched"] == every // 2
    assert any(f"{every // 2} questions are watched" in text for text in outcome.notices)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        # Five lost and none gained: p = 2 / 2^5 = 0.0625; six: 0.031.
        (Watched((True,) * 5 + (False,) * 15, 10, 0), []),
        (Watched((True,) * 4 + (False,) * 16, 10, 0), [f"fewer are right, {LOST}"]),
        (Watched((True,) * 10 + (False,) * 10, 7, 3), []),
        (
            Watched((True,) * 10 + (False,) * 10, 6, 4),
            ["fewer are worked out in steps, 6 where 10 were", f"more are cut at {LIMIT}, 4 where 0 were"],
        ),
        (Watched((True,) * 20, 20, 0), []),
    ],
)  # fmt: skip
def test_what_counts_as_a_collapse(after: Watched, told: list[str]) -> None:
    assert faults(Watched((True,) * 10 + (False,) * 10, 10, 0), after) == told
