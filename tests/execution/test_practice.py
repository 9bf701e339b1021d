"""Practice: questions that nobody demonstrates take part in sampling and pairing."""

from dataclasses import replace
from pathlib import Path

import pytest

from sitkit.errors import RecipeError, UnknownNameError
from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe, recipe_from
from sitkit.registry import Registry
from sitkit.results.build import build_results
from sitkit.results.rows import StoredRows
from sitkit.stages import Annotate
from sitkit.store import Store
from tests.example_runs import count_stages

RECIPE = Recipe(
    teacher=("speller",),
    student=("counter",),
    strategy="spelled-samples,alone=yes",
    train_on=("letters",),
    limit=6,
    practice_on=("letters:5",),
    settings={"sample": {"samples": 4, "temperature": 0.8}},
)


def test_practice_takes_questions_after_those_demonstrated_and_asks_no_teacher(example: Registry) -> None:
    plan, plain = build_plan(RECIPE, example), build_plan(replace(RECIPE, practice_on=None), example)
    asked = [one for one in plan.nodes if isinstance(one.stage, Annotate)]
    assert [one.key for one in asked] == [one.key for one in plain.nodes if isinstance(one.stage, Annotate)]
    assert count_stages(plan)["sample"] == count_stages(plain)["sample"] + 1
    (arm,) = plan.arms
    demonstrated, practised = (node.stage.questions.questions for node in arm.sampled)  # type: ignore[attr-defined]
    assert (len(demonstrated), len(practised)) == (6, 5)
    assert not {one.id for one in demonstrated} & {one.id for one in practised}
    assert arm.sampled[0].key == plain.arms[0].sampled[0].key
    assert arm.paired is not None
    assert arm.paired.key != plain.arms[0].paired.key  # type: ignore[union-attr]


@pytest.mark.parametrize("without", ["use", "leave_out"])
def test_what_is_practised_is_paired(example: Registry, tmp_path: Path, without: str) -> None:
    recipe = replace(RECIPE, settings={**RECIPE.settings, "pair": {"without_demonstration": without}})
    plan = build_plan(recipe, example)
    stored = StoredRows(tmp_path)
    results = build_results(plan, run_plan(plan, Store(tmp_path), example, lambda event: None), stored)
    (pairs,) = results.pairs
    assert pairs.questions == 11
    practised = {one.id for one in plan.arms[0].sampled[1].stage.questions.questions}  # type: ignore[attr-defined]
    rows = stored.rows("pair", pairs.key) or []
    left_out = stored.rows("pair", pairs.key, "left_out.jsonl") or []
    assert practised <= {row["question_id"] for row in [*rows, *left_out]}
    assert not any(row["reason"] == "no kept demonstration" for row in left_out if row["question_id"] in practised)


def test_rounds_practise_in_each(example: Registry) -> None:
    recipe = replace(RECIPE, settings={**RECIPE.settings, "refine": {"rounds": 2}})
    assert count_stages(build_plan(recipe, example))["sample"] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": None}, "letters: every one of its training questions is demonstrated already; --limit N leaves"),
        ({"practice_on": ("letters:0",)}, "letters:0: expected a benchmark's name, or NAME:N with a number above 0"),
        ({"practice_on": ("letters:x",)}, "letters:x: expected"),
        ({"practice_on": (f"letters:{'9' * 5000}",)}, "expected a benchmark's name, or NAME:N"),
        ({"practice_on": ("letters:2", "letters:3")}, "give each benchmark once"),
    ],
)
def test_practice_that_cannot_be_is_refused(example: Registry, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_plan(replace(RECIPE, **changes), example)  # type: ignore[arg-type]


def test_nothing_left_to_practise_on_is_one_line(example: Registry) -> None:
    plan = build_plan(replace(RECIPE, limit=14), example)
    with pytest.raises(RecipeError, match="letters: none of 14 training questions is left after the first 14"):
        _ = plan.arms[0].sampled[1].stage.questions.questions  # type: ignore[attr-defined]


def test_an_unknown_benchmark_is_named(example: Registry) -> None:
    with pytest.raises(UnknownNameError, match="leters"):
        build_plan(replace(RECIPE, practice_on=("leters:5",)), example)


def test_it_is_written_with_commas_or_as_a_list() -> None:
    assert recipe_from({"practice_on": "a:5,b"}, "x").practice_on == ("a:5", "b")
    assert recipe_from({"practice_on": ["a:5", "b"]}, "x").practice_on == ("a:5", "b")
