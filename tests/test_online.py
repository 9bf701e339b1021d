"""Strategies without pairs, from the plan to the report, by a student without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit import testing
from sitkit.errors import PluginError, RecipeError, SettingError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.here_executor import run_plan
from sitkit.hookspecs import hookimpl
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.report.figures import figures
from sitkit.report.markdown import markdown
from sitkit.results.build import build_results
from sitkit.results.contradictions import contradiction
from sitkit.results.model import Results, decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.settings import resolve
from sitkit.store import Store
from sitkit.testing.samples import BENCHMARK, STUB, questions, right_answer, wrong_answer
from sitkit.testing.stubs import StubStudent
from sitkit.types import Completion, Objective, Reward
from sitkit_preference.online import judge
from tests.example_runs import count_stages

RECIPE = Recipe(
    teacher=(STUB,),
    student=(STUB,),
    strategy="grpo",
    train_on=(f"{STUB}:number",),
    limit=8,
    test_limit=4,
    settings={"explore": {"steps": 5, "prompts": 3, "samples": 4}},
)


@pytest.fixture
def registry() -> Registry:
    return testing.registry()


def run(plan: Plan, registry: Registry, workspace: Path) -> Results:
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    return build_results(plan, outcome, StoredRows(workspace))


def test_it_stands_in_place_of_sample_and_pair(registry: Registry) -> None:
    plan = build_plan(RECIPE, registry)
    counts = count_stages(plan)
    assert [counts.get(name) for name in ("sample", "pair", "refine")] == [None, None, 1]
    (arm,) = plan.arms
    assert arm.paired is None
    assert arm.refined is not None
    assert arm.refined.stage.inputs == (arm.instructed,)
    assert arm.refined.stage.prompts() == 5 * 3 * 4


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"settings": {"explore": {"steps": 5, "prompts": 3, "samples": 4, "report_to": "wandb"}}}, True),
        ({"settings": {"explore": {"steps": 6, "prompts": 3, "samples": 4}}}, True),
        ({"settings": {"explore": {"steps": 5, "prompts": 3, "samples": 4, "save_steps": 7}}}, False),
        ({"settings": {**RECIPE.settings, "refine": {"learning_rate": 1e-3}, "sample": {"samples": 1}}}, False),
        ({"strategy": "grpo,format=0.1"}, False),
        ({"strategy": "grpo,format=0.2"}, True),
        ({"seeds": (1,)}, True),
        ({"test_limit": 3}, False),
    ],
)
def test_its_key_moves_with_what_determines_it(registry: Registry, change: Any, moves: bool) -> None:
    before, after = (
        {one.key for one in build_plan(recipe, registry).nodes if one.stage.name == "refine"}
        for recipe in (RECIPE, replace(RECIPE, **change))
    )
    expected = moves and "report_to" not in str(change)
    assert (before != after) == expected


def test_practice_and_no_teacher_for_what_is_only_explored(registry: Registry) -> None:
    practised = build_plan(replace(RECIPE, limit=4, practice_on=(f"{BENCHMARK}:3",)), registry)
    (stage,) = (one.stage for one in practised.nodes if one.stage.name == "refine")
    assert [len(source.questions) for source in stage.questions] == [4, 3]  # type: ignore[attr-defined]
    untaught = build_plan(replace(RECIPE, methods=("refine",), eval_teacher=False), registry)
    assert count_stages(untaught).get("annotate", 0) == 0
    paired = build_plan(replace(RECIPE, methods=("refine",), eval_teacher=False, strategy=STUB), registry)
    assert count_stages(paired)["annotate"] == 1


@pytest.mark.parametrize(
    ("strategy", "settings", "error"),
    [
        ("grpo", {"refine": {"rounds": 2}}, "refine.rounds=2: grpo draws new answers at every step and has no rounds"),
        ("grpo", {"explore": {"samples": 1}}, "explore.samples=1: grpo compares the answers to a question"),
        ("gkd", {"refine": {"rounds": 3}}, "refine.rounds=3: gkd draws new answers"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    registry: Registry, strategy: str, settings: Any, error: str
) -> None:
    with pytest.raises(SettingError, match=error):
        build_plan(replace(RECIPE, strategy=strategy, settings=settings), registry)


def test_a_share_of_the_demonstrations_is_refused(registry: Registry) -> None:
    recipe = replace(RECIPE, fraction=(0.5,), fraction_of="demonstrations")
    with pytest.raises(RecipeError, match="fraction_of=demonstrations: grpo learns on questions"):
        build_plan(recipe, registry)


def test_a_student_that_cannot_explore_is_named() -> None:
    beside = {"explore", "distil", "check_teacher"}
    plain = type("Plain", (), {name: what for name, what in vars(StubStudent).items() if name not in beside})

    class Plugin:
        @hookimpl
        def sitkit_students(self, register: Any) -> None:
            register("plain", lambda spec, context: plain())

    found, recipe = testing.registry(Plugin()), replace(RECIPE, student=("plain",))
    with pytest.raises(RecipeError, match="grpo needs a student that can explore, such as hf; plain cannot"):
        build_plan(recipe, found)
    with pytest.raises(RecipeError, match="gkd needs a student that can be distilled into, such as hf; plain cannot"):
        build_plan(replace(recipe, strategy="gkd"), found)


def test_a_teacher_without_a_model_is_refused(registry: Registry) -> None:
    recipe = Recipe(strategy="gkd", train_on=("tiny_chain",))
    with pytest.raises(SettingError, match=r"^gkd: the teacher tiny: its probabilities of each token are needed"):
        build_plan(recipe, registry)


def test_a_reward_that_is_none_is_the_plugins(registry: Registry) -> None:
    class Bad:
        def fingerprint(self) -> Any:
            return {}

        def objective(self) -> Objective:
            return Objective()

        def pairs(self, candidates: Any) -> Any:
            return iter(())

        def reward(self) -> Reward:
            return Reward({}, judge)

    class Plugin:
        @hookimpl
        def sitkit_strategies(self, register: Any) -> None:
            register("bad", lambda spec, context: Bad())

    with pytest.raises(PluginError, match=r"strategy bad .* its weights are \{\}, expected names of terms"):
        build_plan(replace(RECIPE, strategy="bad"), testing.registry(Plugin()))


def test_the_reward_by_hand() -> None:
    (question,) = questions(count=1)
    right, wrong = right_answer(question, "First. "), wrong_answer(question, "First. ")
    for text, cut, expected in (
        (right, False, (1.0, 1.0)),
        (right, True, (0.0, 0.0)),
        (wrong, False, (0.0, 1.0)),
        (right_answer(question), False, (1.0, 0.0)),
        ("I do not know. It is hard.", False, (0.0, 0.0)),
        ("", False, (0.0, 0.0)),
    ):
        terms = judge(question, Completion(question.id, text, cut))
        assert (terms["correct"], terms["format"]) == expected, text


@pytest.mark.parametrize("strategy", ["grpo", "gkd"])
def test_a_run_ends_in_a_report_without_pairs(registry: Registry, tmp_path: Path, strategy: str) -> None:
    plan = build_plan(replace(RECIPE, strategy=strategy), registry)
    assert dry_run(plan, Store(tmp_path)).prompts > 60
    results = run(plan, registry, tmp_path)
    assert results.pairs == ()
    (training,) = (one for one in results.training if one.stage == "refine")
    assert (training.examples, training.steps) == (8, 5)
    # The stub has learnt every training question by heart; of the test it knows none.
    ((score, *_),) = [[one.seeds[0] for one in results.cells if one.phase == "refine"]]
    assert score.n == 4
    assert decoded(encoded(results)) == results
    stored = StoredRows(tmp_path)
    assert ("training-4" in figures(results, stored)) == (strategy == "grpo")
    text = markdown(results, "try")
    assert "refined on pairs" in text
    again = run(build_plan(replace(RECIPE, strategy=strategy), registry), registry, tmp_path)
    assert all(stage.reused for stage in again.stages)


def test_a_contest_counts_the_answers_written_meanwhile(registry: Registry, tmp_path: Path) -> None:
    recipe = replace(RECIPE, strategy=None, strategies=(STUB, "grpo"), seeds=(0, 1))
    plan = build_plan(recipe, registry)
    results = run(plan, registry, tmp_path)
    assert results.contest is not None
    took = {one.strategy: one for one in results.contest.contenders}
    assert (took["grpo"].prompts, took["grpo"].pairs, took["grpo"].steps) == (2 * 60, 0, 2 * 5)
    assert took[STUB].prompts == 2 * 2 * 8
    assert took[STUB].pairs > 0
    # The stub counts no tokens.
    assert {(one.written, one.trained) for one in took.values()} == {(None, None)}
    assert contradiction(results, Store(tmp_path)) is None


def test_the_checks_of_plugins_know_rewards(registry: Registry) -> None:
    from sitkit.spec import parse_spec

    testing.check_strategy(registry.strategy(parse_spec("grpo")))
    testing.check_strategy(registry.strategy(parse_spec("gkd,beta=1")))
    testing.check_student(testing.stub_student())

    class Unsteady:
        weights = {"right": 1.0}
        asked = 0

        def fingerprint(self) -> Any:
            return {}

        def objective(self) -> Objective:
            return Objective()

        def pairs(self, candidates: Any) -> Any:
            return iter(())

        def reward(self) -> Reward:
            def judge(question: Any, completion: Any) -> Any:
                self.asked += 1
                return {"right": float(self.asked)}

            return Reward({"right": 1.0}, judge)

    with pytest.raises(AssertionError, match="judge gives the same answer another value when asked again"):
        testing.check_strategy(Unsteady())


def test_what_a_strategy_recommends_is_under_what_the_user_says(registry: Registry) -> None:
    plan = build_plan(replace(RECIPE, strategy="gkd", settings={"explore": {"steps": 2}}), registry)
    (settings,) = plan.settings.values()
    assert (settings.explore.samples, settings.explore.prompts, settings.explore.steps) == (1, 32, 2)
    assert resolve({"train": {"learning_rate": 0.5}}).explore.learning_rate == 1e-6


def test_watching_what_has_no_pairs_is_said_to_do_nothing(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    settings = {**RECIPE.settings, "refine": {"watch": 4}}
    build_plan(replace(RECIPE, settings=settings), registry)
    assert "refine.watch=4 watches refining on pairs, and grpo" in caplog.text
