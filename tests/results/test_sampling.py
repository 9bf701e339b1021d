"""Several answers to each question: the estimators against numbers worked out by hand, and a run from end to end."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.report.tables import sampled_tables
from sitkit.results.accuracy import pass_at_k, sampled_scores, wilson
from sitkit.results.build import build_results
from sitkit.results.model import Results, Sampled
from sitkit.results.rows import StoredRows
from sitkit.stages.evaluate import SAMPLES, majority_right
from sitkit.store import Store
from sitkit.types import Question

NUMBER = Question("q", "b", "number", "Count.", "How many?", None, "3")
CHOICE = Question("q", "b", "choice", "Choose.", "Which?", ("a", "b"), "B")


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 3), (6, 0, 2), (6, 6, 4), (4, 1, 4), (7, 3, 1), (8, 5, 4)])
def test_pass_at_k_is_the_share_of_all_choices_of_k_with_a_right_one(n: int, right: int, k: int) -> None:
    chosen = list(combinations([True] * right + [False] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(any(each) for each in chosen) / len(chosen))


@pytest.mark.parametrize(
    ("question", "read", "correct", "wins"),
    [
        (NUMBER, ["3", "4", "3.0"], [True, False, True], True),
        # 4 and 4.0 are one value, and outvote one right answer.
        (NUMBER, ["3", "4", "4.0"], [True, False, False], False),
        # Of equally common answers the first given counts.
        (NUMBER, ["3", "4"], [True, False], True),
        (NUMBER, ["4", "3"], [False, True], False),
        (NUMBER, [None, None, "3"], [False, False, True], True),
        (NUMBER, [None, None], [False, False], False),
        (CHOICE, ["A", "B", "A"], [False, True, False], False),
    ],
)
def test_the_commonest_answer_decides(
    question: Question, read: list[str | None], correct: list[bool], wins: bool
) -> None:
    assert majority_right(question, read, correct) is wins


def test_scores_follow_from_how_many_questions_have_so_many_right_ones() -> None:
    # 10 questions of 4 answers each: 5 with none right, 2 with one, 3 with all.
    scores = {one.name: one for one in sampled_scores([Sampled(samples=4, right=(5, 2, 0, 0, 3), majority=3)])}
    assert list(scores) == ["mean@4", "pass@2", "pass@4", "majority@4"]
    assert scores["mean@4"].value == pytest.approx((2 * 0.25 + 3) / 10)
    assert scores["pass@2"].value == pytest.approx((2 * 0.5 + 3) / 10)
    assert scores["pass@4"].value == pytest.approx(5 / 10)
    assert scores["majority@4"].value == pytest.approx(3 / 10)
    assert (scores["pass@4"].low, scores["pass@4"].high) == wilson(0.5, 10)
    # Between right and wrong alone nothing varies more: a mean is known a little better.
    low, high = wilson(0.35, 10)
    assert low < scores["mean@4"].low < 0.35 < scores["mean@4"].high < high


def test_seeds_are_averaged_and_share_their_questions() -> None:
    one, other = Sampled(samples=2, right=(4, 0, 6), majority=6), Sampled(samples=2, right=(6, 0, 4), majority=4)
    scores = {each.name: each for each in sampled_scores([one, other])}
    assert scores["mean@2"].value == scores["majority@2"].value == 0.5
    assert (scores["mean@2"].low, scores["mean@2"].high) == wilson(0.5, 10)
    assert sampled_scores([]) == ()


def test_all_right_has_an_interval() -> None:
    (mean, majority) = sampled_scores([Sampled(samples=1, right=(0, 5), majority=5)])
    assert (mean.low, mean.high) == (majority.low, majority.high) == wilson(1.0, 5)


RECIPE = Recipe(teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",))


def run(registry: Registry, workspace: Path, recipe: Recipe) -> tuple[Results, StoredRows]:
    plan = build_plan(recipe, registry)
    stored = StoredRows(workspace)
    return build_results(plan, run_plan(plan, Store(workspace), registry, lambda event: None), stored), stored


def test_answers_are_drawn_besides_the_scores(example: Registry, tmp_path: Path) -> None:
    plain, _ = run(example, tmp_path, RECIPE)
    assert sampled_tables(plain) == ()
    settings = {"evaluate": {"samples": 3}}
    results, stored = run(example, tmp_path, replace(RECIPE, settings=settings))
    assert [cell.value for cell in results.cells] == [cell.value for cell in plain.cells]
    (refined,) = [cell for cell in results.cells if (cell.phase, cell.prompting) == ("refine", "cot")]
    rows = [row for row in stored.rows("evaluate", refined.keys[0], SAMPLES) or () if row["prompting"] == "cot"]
    assert {len(row["correct"]) for row in rows} == {3}
    # Drawn above temperature 0 the student miscounts now and then: each answer with noise of its own.
    assert any(len(set(row["completions"])) > 1 for row in rows)
    for row in rows:
        count = len(str(row["question_id"]).removeprefix("test-"))
        assert row["correct"] == [text.endswith(f"is {count}") for text in row["completions"]]
    scores = {one.name: one.value for one in refined.sampled}
    assert scores["mean@3"] == pytest.approx(sum(sum(row["correct"]) for row in rows) / (3 * len(rows)))
    assert scores["pass@3"] == pytest.approx(sum(any(row["correct"]) for row in rows) / len(rows))
    (table,) = sampled_tables(results)
    assert table.headings[-4:] == ("mean@3", "pass@2", "pass@3", "majority@3")
    assert len(table.rows) == len(results.cells)
