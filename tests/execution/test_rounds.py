"""Rounds of refining: sampled from the latest student, with noise of their own, resumable, scored where asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.execution.executor import Outcome
from sitkit.execution.here_executor import run_plan
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.report.figures import drawings
from sitkit.report.figures.style import LIGHT
from sitkit.report.tables import pair_table, round_tables
from sitkit.results.build import build_results
from sitkit.results.contradictions import contradiction
from sitkit.results.model import Results, decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.stages import Refine, Sample
from sitkit.store import Store
from tests.example_runs import count_stages

RECIPE = Recipe(
    teacher=("speller",),
    student=("counter",),
    strategy="spelled-first",
    train_on=("letters",),
    settings={"refine": {"rounds": 3, "score_rounds": True}},
)


def run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Plan, Outcome, Results]:
    plan = build_plan(recipe, registry)
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    return plan, outcome, build_results(plan, outcome, StoredRows(workspace))


def of_kind(plan: Plan, kind: type) -> list[Any]:
    return [node for node in plan.nodes if isinstance(node.stage, kind)]


def test_each_round_starts_from_the_student_before_it(example: Registry) -> None:
    plan = build_plan(RECIPE, example)
    samples, refined = of_kind(plan, Sample), of_kind(plan, Refine)
    (arm,) = plan.arms
    assert [node.stage.learnt for node in samples] == [arm.instructed, refined[0], refined[1]]
    assert [node.stage.start for node in refined] == [arm.instructed, refined[0], refined[1]]
    assert arm.refined is refined[2]
    assert [one.refined for one in arm.earlier] == refined[:2]
    assert len({node.material["settings"]["seed"] for node in samples}) == 3
    assert len({node.material["settings"]["seed"] for node in refined}) == 3
    assert [node.stage.label() for node in refined] == [
        f"spelled-first (round {number}) seed 0" for number in (1, 2, 3)
    ]


def test_the_first_round_is_the_one_there_was_and_more_rounds_go_on_from_it(example: Registry, tmp_path: Path) -> None:
    once = replace(RECIPE, settings={})
    plan, _, _ = run(example, tmp_path, once)
    more, outcome, _ = run(example, tmp_path)
    (one,) = of_kind(plan, Refine)
    assert one.key == of_kind(more, Refine)[0].key
    made = {record.key for record in outcome.stages if not record.reused}
    # Of the first round nothing is made again, its scores among them.
    assert not made & {node.key for node in plan.nodes}
    assert count_stages(more)["evaluate"] == count_stages(plan)["evaluate"] + 2


def test_a_round_that_is_not_scored_has_no_scores(example: Registry) -> None:
    scored, plain = (
        build_plan(replace(RECIPE, settings={"refine": {"rounds": 3, "score_rounds": which}}), example)
        for which in (True, False)
    )
    assert count_stages(scored)["evaluate"] - count_stages(plain)["evaluate"] == 2
    assert plain.rounds == ()
    assert {cell.round for cell in scored.rounds} == {1, 2}


def test_rounds_are_told_one_by_one(example: Registry, tmp_path: Path) -> None:
    _, _, results = run(example, tmp_path)
    assert [(one.round, one.cell.prompting) for one in results.rounds] == [
        (1, "direct"), (1, "cot"), (2, "direct"), (2, "cot"),
    ]  # fmt: skip
    (lesson,) = results.arms[0].lessons
    assert len(lesson.rounds) == 3
    assert (lesson.rounds[-1].pair, lesson.rounds[-1].refine) == (lesson.pair, lesson.refine)
    assert len(results.pairs) == 3
    (table,) = round_tables(results)
    assert table.headings == ("benchmark", "prompting", "instructed", "round 1", "round 2", "last round")
    assert len(table.rows) == 2
    drawn = [one for one in drawings(results, StoredRows(tmp_path)) if one.section == "rounds"]
    (axes,) = [one.paint(LIGHT).axes[0] for one in drawn]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["instructed", "1", "2", "3"]
    means = {line.get_label(): [round(value, 6) for value in line.lines[0].get_ydata()] for line in axes.containers}
    cells = {(one.round, one.cell.prompting): 100 * one.cell.value for one in results.rounds}
    assert means["CoT"][1:3] == [pytest.approx(cells[number, "cot"]) for number in (1, 2)]
    (row,) = pair_table(results).rows
    assert row[1] == str(sum(pairs.total for pairs in results.pairs))
    assert decoded(encoded(results)) == results
    assert contradiction(results, Store(tmp_path)) is None


def test_a_single_round_is_told_as_ever(example: Registry, tmp_path: Path) -> None:
    _, _, results = run(example, tmp_path, replace(RECIPE, settings={"refine": {"score_rounds": True}}))
    assert results.rounds == ()
    assert round_tables(results) == ()
    assert results.arms[0].lessons[0].earlier == ()


@pytest.mark.parametrize("seed", [0, 7])
def test_no_two_rounds_of_no_two_seeds_draw_alike(seed: int) -> None:
    from sitkit.stages.base import round_seed

    assert round_seed(seed, 0) == seed
    assert len({round_seed(one, number) for one in range(50) for number in range(20)}) == 1000
