"""Strategies against a control: what is shared, paired differences, what was taken, and the sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.components import objective
from sitkit.errors import RecipeError
from sitkit.execution.here_executor import run_plan
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe, recipe_from, recipe_yaml
from sitkit.registry import Registry
from sitkit.report.markdown import markdown
from sitkit.report.tables import contest_tables
from sitkit.report.warnings import warnings_of
from sitkit.results.build import build_results
from sitkit.results.contest import _total, told, verdict
from sitkit.results.contradictions import contradiction
from sitkit.results.model import Contender, Contest, Duel, Results, decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.results.significance import mcnemar, sign_flips
from sitkit.stages.pair import PAIRS
from sitkit.stages.sample import SAMPLES
from sitkit.store import Store
from tests.example_runs import count_stages

ALONE = "spelled-samples,alone=yes"
RECIPE = Recipe(
    teacher=("speller",),
    student=("counter",),
    strategies=("spelled-first", "spelled-samples", ALONE),
    train_on=("letters",),
    seeds=(0, 1),
    settings={"sample": {"samples": 4, "temperature": 0.8}},
)


def run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Plan, Results]:
    plan = build_plan(recipe, registry)
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    return plan, build_results(plan, outcome, StoredRows(workspace))


def test_strategies_share_what_they_agree_on(example: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(RECIPE, example)
    counts = count_stages(plan)
    assert [counts[name] for name in ("annotate", "instruct", "sample", "pair", "refine")] == [2, 2, 2, 6, 6]
    from sitkit_example.strategy import SpelledFirst  # type: ignore[import-not-found]

    greedy = {"sample": {"temperature": 0.5}}
    monkeypatch.setattr(SpelledFirst, "recommended", lambda self: greedy, raising=False)
    assert count_stages(build_plan(replace(RECIPE, settings={"sample": {"samples": 1}}), example))["sample"] == 4


def test_answers_to_hints_are_counted(example: Registry, tmp_path: Path) -> None:
    settings = {"sample": {"samples": 4, "temperature": 0.8, "hints": True}}
    _, results = run(example, tmp_path, replace(RECIPE, settings=settings))
    keys = [key for lesson in results.arms[0].lessons for key in lesson.sample]
    rows = [row for key in keys for row in StoredRows(tmp_path).rows("sample", key, SAMPLES) or ()]
    assert results.contest is not None
    assert {one.prompts for one in results.contest.contenders} == {len(rows)}
    assert {one.written for one in results.contest.contenders} == {sum(len(row["text"].split()) for row in rows)}
    assert len(rows) > 14 * 2 * 4 * 2


@pytest.mark.parametrize(("counts", "total"), [([], 0), ([1, 2.0], 3), ([1, None], None), ([None], None)])
def test_a_part_of_the_tokens_is_no_sum_of_them(counts: list[float | None], total: int | None) -> None:
    assert _total(counts) == total


def words(workspace: Path, pairs: str | None) -> int:
    """Return what the example's student says that it went through."""
    rows = StoredRows(workspace).rows("pair", pairs or "", PAIRS) or ()
    return sum(len(row[side].split()) for row in rows for side in ("prompt", "chosen", "prompt", "rejected"))


@pytest.mark.parametrize(("control", "found"), [(None, ALONE), ("spelled-first", "spelled-first"), (ALONE, ALONE)])
def test_the_control_is_the_one_asked_for_or_the_first_plain_fine_tuning(
    example: Registry, control: str | None, found: str
) -> None:
    plan = build_plan(replace(RECIPE, control=control), example)
    assert plan.control is not None
    assert plan.control.spec == found
    assert build_plan(replace(RECIPE, strategies=("spelled-first",)), example).control is None


def test_a_contest_from_end_to_end(example: Registry, tmp_path: Path) -> None:
    _, results = run(example, tmp_path)
    contest = results.contest
    assert contest is not None
    assert contest.control == ALONE
    assert [duel.strategy for duel in contest.duels] == ["spelled-first", "spelled-samples"]
    cells = {cell.strategy: cell for cell in results.cells if (cell.phase, cell.prompting) == ("refine", "cot")}
    for duel in contest.duels:
        assert duel.difference == pytest.approx(cells[duel.strategy].value - cells[ALONE].value)
        assert duel.paired is not None
        assert duel.paired.difference == pytest.approx(duel.difference)
    by_name = {one.strategy: one for one in contest.contenders}
    # 14 questions, two promptings, four samples, two seeds: as if each were alone.
    assert {one.prompts for one in contest.contenders} == {14 * 2 * 4 * 2}
    for name, one in by_name.items():
        arm = next(arm for arm in results.arms if arm.strategy == name)
        told_pairs = [pairs.total for lesson in arm.lessons if (pairs := results.pairs_of(lesson))]
        assert one.pairs == sum(told_pairs)
        assert one.accuracy == cells[name].value
        assert one.trained == sum(words(tmp_path, lesson.pair) for lesson in arm.lessons)
    first, second = contest_tables(results)
    assert first.title == f"Against the control {ALONE}"
    assert verdict(contest) in first.note
    assert len(second.rows) == 3
    said = markdown(results, "contest")
    assert verdict(contest) in said.replace("\\", "")
    assert "refined by `spelled-first`, `spelled-samples`, `spelled-samples,alone=yes` on letters" in said
    assert warnings_of(results) is not None
    assert decoded(encoded(results)) == results
    assert contradiction(results, Store(tmp_path)) is None
    wrong = replace(contest, contenders=tuple(replace(one, steps=one.steps + 1) for one in contest.contenders))
    assert contradiction(replace(results, contest=wrong), Store(tmp_path)) == (
        "what the strategies took is not what the store has"
    )


def test_the_written_recipe_repeats_the_contest(example: Registry) -> None:
    plan = build_plan(RECIPE, example)
    again = recipe_from(_read(recipe_yaml(plan.full_recipe())), "recipe.yaml")
    assert [node.key for node in build_plan(again, example).nodes] == [node.key for node in plan.nodes]


def _read(text: str) -> dict[str, Any]:
    from sitkit.strict_yaml import load_yaml

    return load_yaml(text, "recipe.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ("a", "a")}, "strategies names a twice"),
        ({"strategies": ("a", "b"), "strategy": "b"}, "it must be the first of them, or left out"),
        ({"strategies": ("a", "b"), "control": "c"}, "control: c is not one of the strategies"),
        ({"control": "c"}, "control: c is not one of the strategies"),
        ({"strategies": ("a", "b"), "teacher": ("x", "y")}, "not across teacher"),
        ({"strategies": ("a", "b"), "cross": True}, "not across cross"),
        ({"strategies": ("a", "b"), "methods": ("instruct",)}, "told apart by refining, which methods: instruct"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe(**changes)


def _seed(before: str, after: str) -> tuple[dict[str, bool], dict[str, bool]]:
    return tuple({str(at): mark == "1" for at, mark in enumerate(row)} for row in (before, after))  # type: ignore[return-value]


def test_with_one_seed_the_randomisation_test_is_mcnemars() -> None:
    before, after = _seed("0000000011", "1111110001")
    assert sign_flips([(before, after)]) == pytest.approx(mcnemar(before, after)[2])
    assert sign_flips([_seed("01", "01")]) == 1.0


def test_with_several_seeds_a_question_counts_by_its_mean() -> None:
    # Means of 1, 1, 1, 0.5: of the 16 ways to sign them, all + and all - alone lie as far from 0.
    seeds = [_seed("0000", "1111"), _seed("0001", "1111")]
    assert sign_flips(seeds) == pytest.approx(2 / 16, abs=0.015)
    assert sign_flips(seeds) == sign_flips(seeds)


def _contest(*duels: Duel, accuracy: dict[str, float]) -> Contest:
    made = tuple(
        Contender(strategy=name, accuracy=value, prompts=0, written=None, pairs=0, trained=0, steps=0, seconds=0.0)
        for name, value in accuracy.items()
    )
    return Contest(control="plain", contenders=made, duels=duels)


def _duel(strategy: str, difference: float, holm: float, interval: float | None = None) -> Duel:
    return Duel(
        strategy=strategy, benchmark="", difference=difference, interval=interval, paired=None, p=holm, holm=holm
    )


@pytest.mark.parametrize(
    ("duel", "ahead", "said"),
    [
        (_duel("new", 0.05, 0.01), 0.55, "new won (55.0% with CoT): +5.0 points (p 0.01 with Holm's"),
        (_duel("new", 0.05, 0.2), 0.55, "new is ahead (55.0% with CoT), but cannot be told from the control plain"),
        # Certain over questions, but not over seeds.
        (_duel("new", 0.05, 0.01, 0.06), 0.55, "new is ahead (55.0% with CoT), but cannot be told from"),
        (_duel("new", 0.05, 0.01, 0.04), 0.55, "new won"),
        (_duel("new", -0.05, 0.01), 0.45, "The control plain is ahead (50.0% with CoT); new told to be worse."),
        (_duel("new", -0.05, 0.3), 0.45, "The control plain is ahead (50.0% with CoT); no other can be told from it."),
    ],
)  # fmt: skip
def test_one_sentence_says_who_won_and_whether_it_can_be_told(duel: Duel, ahead: float, said: str) -> None:
    assert verdict(_contest(duel, accuracy={"plain": 0.5, "new": ahead})).startswith(said)
    assert told(replace(duel, holm=None)) is False


def test_what_was_used_is_said_and_where_strategies_differ(example: Registry, tmp_path: Path) -> None:
    plan, results = run(example, tmp_path)
    assert "loss" not in results.recipe["set"]["refine"]
    assert plan.full_recipe().as_mapping() == results.recipe
    used = {arm.strategy: arm.settings["refine"] for arm in results.arms}
    for strategy in plan.strategies:
        said = objective(strategy)
        assert (used[strategy.spec]["loss"], used[strategy.spec]["beta"]) == ("+".join(said.loss), said.beta)
    assert f"| refine.loss | {' | '.join(one['loss'] for one in used.values())} |" in markdown(results, "contest")
    _, single = run(example, tmp_path, replace(RECIPE, strategies=None, strategy=ALONE))
    assert single.recipe["set"]["refine"]["loss"] == used[ALONE]["loss"]
    assert not single.arms[0].settings
