"""report.md: the tables of one student and of several, escaped, and the command that repeats a score elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit.report.markdown import markdown
from sitkit.report.tables import accuracy, gain_table
from sitkit.results.accuracy import summarised
from sitkit.results.build import changes_of
from sitkit.results.model import Arm, Cell, Lesson, Results
from sitkit.results.rows import StoredRows
from tests.report.synthetic import blank_cell, made_results, score

ARM = Arm(
    student="tiny", teacher="tiny", strategy="dpo-cot", train_on=("b",), refine_on=("b",), fraction=1.0, method="both",
    lessons=(Lesson(seed=0, refine="k"),),
)  # fmt: skip
RECIPE: dict[str, Any] = {
    "student": "tiny", "teacher": "tiny", "strategy": "dpo-cot", "train_on": ["b"], "refine_on": None, "seeds": [0],
    "cross": False, "fraction": 1.0, "limit": None, "test_limit": 7, "data_dir": "/data",
    "set": {"evaluate": {"max_new_tokens": 96}},
}  # fmt: skip


def _cell(phase: str, *right: int, benchmark: str = "b") -> Cell:
    tasks = ("b",)
    blank = blank_cell(phase=phase, prompting="cot", benchmark=benchmark, train_on=tasks, refine_on=tasks)
    return summarised(blank, [score(seed, f"k{seed}", each, 101) for seed, each in enumerate(right)])


def _results(cells: Sequence[Cell], arms: Sequence[Arm] = (ARM,), recipe: dict[str, Any] = RECIPE) -> Results:
    tasks = {"b": {"direct": "task_b_direct", "cot": "task_b_cot"}}
    changes = changes_of(cells, StoredRows(Path("nowhere")))
    return made_results(arms, cells, changes, recipe=recipe, notices=("|<b>",), tasks=tasks)


def test_accuracy_is_shown_with_its_error_over_questions_and_the_deviation_over_seeds() -> None:
    assert accuracy(replace(_cell("refine", 50), value=0.5, over_questions=0.05)) == "50.0 ± 5.0"
    cell = replace(_cell("refine", 50, 60), value=0.5, over_questions=0.05, deviation=0.071)
    assert accuracy(cell) == "50.0 ± 5.0 (7.1)"
    assert accuracy(None) == ""


def test_a_gain_is_shown_with_its_interval_only_over_seeds() -> None:
    (row,) = gain_table(_results([_cell("instruct", 50), _cell("refine", 60)])).rows
    assert row[2] == "+9.9"
    (row,) = gain_table(_results([_cell("instruct", 50, 50), _cell("refine", 60, 62)])).rows
    # Gains of 10/101 and 12/101: 10.9 points, and t(0.975, 1) = 12.7062 times 1/101 each way.
    assert row[2] == "+10.9 ± 12.6"


def test_markdown_holds_the_numbers_and_escapes_what_it_is_told() -> None:
    text = markdown(_results([_cell("refine", 50)]), "name")
    assert "49.5 ± 5.0" in text
    assert "\\|&lt;b>" in text


def test_markdown_has_the_lm_eval_command_of_this_very_run() -> None:
    text = markdown(_results([_cell("refine", 50)]), "name")
    for part in (
        "--tasks task_b_cot",
        "tasks path b",
        "max_gen_toks=96",
        "--limit 7",
        '"data_dir": "/data"',
        '"seed": 0',
        "export name ./student --merge\n",
    ):
        assert part in text


def test_of_several_students_the_lm_eval_command_says_whose_it_is() -> None:
    arms = [
        replace(ARM, method="instruct", lessons=(Lesson(seed=0),)),
        replace(ARM, lessons=(Lesson(seed=3, refine="k"),)),
        replace(ARM, refine_on=("c d",), fraction=0.5, lessons=(Lesson(seed=3, refine="l"),)),
    ]
    text = markdown(_results([_cell("refine", 50)], arms), "name")
    assert "export name ./student --merge --refine-on b --fraction 1\n" in text
    assert '"seed": 3' in text
    # Students that recommend other settings each: no one length of answers is right for all.
    assert "lm_eval" not in markdown(_results([_cell("refine", 50)], arms, {**RECIPE, "set": {}}), "name")
