"""Recipes with several arms: matrix, low resource, several teachers and students; what they share is there once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.execution.dry_run import dry_run
from sitkit.execution.here_executor import run_plan
from sitkit.hookspecs import hookimpl
from sitkit.plan import Plan, build_plan
from sitkit.providers import Provider
from sitkit.recipe import Recipe
from sitkit.registry import Registry, build_registry, load_plugins
from sitkit.report.tables import all_tables
from sitkit.results.build import build_results
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows, place
from sitkit.store import Store
from tests.example_runs import count_stages

RECIPE = Recipe(
    teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",), eval_teacher=False
)
TWO = ("letters", "letters2")
CROSS = replace(RECIPE, cross=True, train_on=TWO)


@pytest.fixture
def two(example: Registry) -> Registry:
    """The example plugin with its benchmark under two names."""
    from sitkit_example.benchmark import Letters  # type: ignore[import-not-found]

    class Second(Letters):  # type: ignore[misc]
        def questions(self, split: Any, seed: int) -> Any:
            return [replace(one, benchmark="letters2") for one in super().questions(split, seed)]

    class Plugin:
        @hookimpl
        def sitkit_benchmarks(self, register: Any) -> None:
            register("letters2", lambda spec, context: Second())

    example.manager.register(Plugin(), name="second")
    # Its tasks are the example's, so it stands under the same distribution.
    return build_registry(example.manager, {**example.providers, "second": Provider("sitkit-example", "1.0")})


def _walked(plan: Plan, workspace: Path, registry: Registry) -> Results:
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    return build_results(plan, outcome, StoredRows(workspace))


def test_a_matrix_instructs_once_for_all_it_is_refined_on(two: Registry) -> None:
    plan = build_plan(CROSS, two)
    assert count_stages(plan) == {
        "annotate": 2, "evaluate": 2 + 2 * 2 + 4 * 2, "instruct": 2, "sample": 4, "pair": 4, "refine": 4
    }  # fmt: skip
    assert [(arm.train_on, arm.refine_on) for arm in plan.arms] == [
        ((taught,), (refined,)) for taught in TWO for refined in TWO
    ]
    assert len({arm.instructed.key for arm in plan.arms}) == 2


def test_every_stage_comes_after_its_inputs_and_teachers_come_first(two: Registry) -> None:
    plan = build_plan(replace(CROSS, seeds=(0, 1), fraction=(0.5, 1.0), methods=("both", "refine")), two)
    seen: set[str] = set()
    for one in plan.nodes:
        assert {source.key for source in one.stage.inputs} <= seen
        seen.add(one.key)
    names = [one.stage.name for one in plan.nodes]
    assert names[: names.count("annotate")] == ["annotate"] * names.count("annotate")


def test_a_new_task_costs_its_own_cells_alone(two: Registry) -> None:
    small, large = (build_plan(replace(CROSS, train_on=tasks, eval_on=TWO), two) for tasks in (TWO[:1], TWO))
    assert {one.key for one in small.nodes} < {one.key for one in large.nodes}
    alone = build_plan(replace(RECIPE, train_on=TWO[:1], eval_on=TWO), two)
    assert {one.key for one in alone.nodes} <= {one.key for one in large.nodes}


def test_low_resource_shares_the_untaught_student_and_nests_the_questions(two: Registry) -> None:
    plan = build_plan(replace(RECIPE, fraction=(0.5, 1.0), methods=("both", "refine")), two)
    arms = {(arm.fraction, arm.method): arm for arm in plan.arms}
    assert len(arms) == 4
    assert arms[0.5, "refine"].instructed is arms[1.0, "refine"].instructed
    assert arms[0.5, "refine"].train_on == ()
    small, large = (
        {one.id for one in source.questions}
        for source in (arms[f, "both"].sampled[0].stage.questions for f in (0.5, 1.0))  # type: ignore[attr-defined]
    )
    assert small < large


def test_a_walked_matrix_has_every_cell_once_and_says_what_was_done(two: Registry, tmp_path: Path) -> None:
    plan = build_plan(replace(CROSS, eval_on=("letters",)), two)
    results = _walked(plan, tmp_path, two)
    cot = [cell for cell in results.cells if cell.prompting == "cot"]
    assert [(cell.phase, cell.train_on, cell.refine_on) for cell in cot] == [
        ("baseline", (), ()),
        ("instruct", ("letters",), ()),
        ("refine", ("letters",), ("letters",)),
        ("refine", ("letters",), ("letters2",)),
        ("instruct", ("letters2",), ()),
        ("refine", ("letters2",), ("letters",)),
        ("refine", ("letters2",), ("letters2",)),
    ]
    assert all((tmp_path / place("evaluate", key)).is_file() for cell in cot for key in cell.keys)
    assert len(results.arms) == len(results.pairs) == 4
    assert Counter(training.stage for training in results.training) == {"instruct": 2, "refine": 4}
    shown = all_tables(results)[0]
    assert [row[0] for row in shown.rows][-1] == "instruct letters2 refine letters2"
    assert any("(cross)" in row[0] for row in shown.rows)


def test_several_teachers_and_students_are_told_apart(two: Registry, tmp_path: Path) -> None:
    recipe = replace(RECIPE, teacher=("speller", "speller,slips=5"), seeds=(0, 1), methods=("instruct",))
    plan = build_plan(recipe, two)
    results = _walked(plan, tmp_path, two)
    assert count_stages(plan) == {"annotate": 2, "evaluate": 1 + 4, "instruct": 4}
    shown = all_tables(results)[0]
    assert shown.headings[0] == "teacher"
    assert [row[0] for row in shown.rows] == ["-", "-", "speller", "speller,slips=5"]
    assert results.pairs == ()


@pytest.mark.parametrize("methods", [("both", "instruct"), ("instruct", "both")])
def test_what_two_methods_share_is_scored_once(two: Registry, tmp_path: Path, methods: Any) -> None:
    plan = build_plan(replace(RECIPE, methods=methods), two)
    results = _walked(plan, tmp_path, two)
    assert Counter(cell.phase for cell in results.cells if cell.prompting == "cot") == {
        "baseline": 1, "instruct": 1, "refine": 1
    }  # fmt: skip
    assert not any("seeds" in table.note.split(";")[0] for table in all_tables(results)[:1])
    for arm in results.arms:
        phases = [cell.phase for cell in results.cells_of(arm) if cell.prompting == "cot"]
        assert phases == ["baseline", "instruct", "refine"][: 2 if arm.method == "instruct" else 3]


def test_a_student_that_is_not_refined_has_nothing_it_is_refined_on(two: Registry) -> None:
    plan = build_plan(replace(CROSS, methods=("instruct",)), two)
    assert [(arm.train_on, arm.refine_on) for arm in plan.arms] == [((task,), ()) for task in TWO]


@pytest.mark.parametrize(("methods", "asked"), [(("instruct",), 0), (("refine",), 1), (("instruct", "refine"), 2)])
def test_teachers_are_asked_for_what_is_learnt_from_alone(two: Registry, methods: Any, asked: int) -> None:
    for teacher_too in (False, None):
        recipe = replace(RECIPE, refine_on=("letters2",), methods=methods, eval_teacher=teacher_too)
        names = {one.stage.questions.benchmark.spec for one in build_plan(recipe, two).annotated}  # type: ignore[attr-defined]
        assert names == (set(TWO) if asked == 2 else {TWO[asked]})


def test_a_task_is_not_marked_as_trained_before_it_is(two: Registry, tmp_path: Path) -> None:
    plan = build_plan(replace(RECIPE, train_on=("letters2",), refine_on=("letters",), eval_on=("letters",)), two)
    results = _walked(plan, tmp_path, two)
    found = {cell.phase: cell.transfer for cell in results.cells}
    assert (found["instruct"], found["refine"]) == ("in-domain", "trained")


def test_shares_of_the_demonstrations_are_told_apart_and_lead_to_their_files(two: Registry, tmp_path: Path) -> None:
    plan = build_plan(replace(RECIPE, fraction=(0.5, 1.0), seeds=(0, 1)), two)
    results = _walked(plan, tmp_path, two)
    accuracy, *others = all_tables(results)
    assert [row[0] for row in accuracy.rows] == ["-", "-", "0.5", "0.5", "1", "1"]
    for title in ("Demonstrations", "The teacher's own accuracy"):
        (table,) = (one for one in others if one.title == title)
        files = [row[-1] for row in table.rows]
        assert len(set(files)) == len(files) > 1
        assert all((tmp_path / file).is_file() for file in files)
    titles = [one.title for one in plan.nodes]
    assert len(set(titles)) == len(titles)


def test_a_dry_run_counts_what_a_script_would_do_alone(two: Registry, tmp_path: Path) -> None:
    plan: Plan = build_plan(CROSS, two)
    found = dry_run(plan, Store(tmp_path))
    # Baseline 1 stage a score; instructed 3; refined on the same task 6 (annotate, instruct, sample, pair, refine,
    # evaluate), on another one 7.
    assert found.alone_stages == 2 * 1 + 4 * 3 + 4 * 6 + 4 * 7


@pytest.mark.slow
def test_planning_ten_thousand_stages_loads_no_question(two: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit_example.benchmark import Letters

    monkeypatch.setattr(Letters, "questions", lambda *_: pytest.fail("questions were loaded"))
    plan = build_plan(replace(CROSS, seeds=tuple(range(400))), two)
    assert len(plan.nodes) > 8_000


def test_a_loss_that_takes_the_place_of_the_strategys_own_is_said(caplog: pytest.LogCaptureFixture) -> None:
    plugged = load_plugins()
    first = build_plan(Recipe(), plugged).full_recipe()
    assert first.settings["refine"]["loss"] == "sigmoid"
    build_plan(first, plugged)
    assert "refine.loss" not in caplog.text
    build_plan(replace(first, strategy="sft-chosen"), plugged)
    assert "refine.loss=sigmoid is set, and takes the place of what sft-chosen minimises: sft" in caplog.text


@pytest.mark.parametrize("change", [{"reasoning": "keep"}, {"keep": "all"}])
def test_what_is_taken_of_demonstrations_moves_what_is_learnt_and_not_what_is_asked(change: dict[str, str]) -> None:
    plugged = load_plugins()
    before, after = (
        {node.stage.name: node.key for node in build_plan(Recipe(settings={"annotate": given}), plugged).nodes}
        for given in ({}, change)
    )
    assert before["annotate"] == after["annotate"]
    # A refining reads its pairs, and both move with them.
    assert all(before[name] != after[name] for name in ("instruct", "pair", "refine"))
