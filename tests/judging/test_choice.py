"""Which answers of a matrix are judged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sitkit.errors import RecipeError
from sitkit.judging.answers import Choice, _chosen
from sitkit.types import PHASES
from tests.report.test_report_matrix import TASKS, _results


def counted(**given: Any) -> Counter[str]:
    choice = Choice(PHASES, ("cot",), given.pop("benchmarks", None), 0, **given)
    return Counter(cell.phase for cell, _ in _chosen(_results(), choice) if cell.prompting == "cot")


def test_everything_is_judged_where_nothing_is_chosen() -> None:
    assert counted() == {"baseline": 3, "instruct": 9, "refine": 27}


def test_own_tasks_are_the_cells_of_table_14() -> None:
    assert counted(own_tasks=True) == {"baseline": 3, "instruct": 3, "refine": 3}
    choice = Choice(PHASES, ("cot",), None, 0, own_tasks=True)
    for cell, _ in _chosen(_results(), choice):
        assert cell.phase == "baseline" or cell.train_on == (cell.benchmark,)
        assert cell.phase != "refine" or cell.refine_on == (cell.benchmark,)


def test_students_are_taken_with_the_phases_they_share() -> None:
    one = {"train_on": ("sums",), "refine_on": ("cups",)}
    assert counted(wanted=one) == {"baseline": 3, "instruct": 3, "refine": 3}
    assert counted(wanted=one, benchmarks=("gifts",)) == {"baseline": 1, "instruct": 1, "refine": 1}
    assert counted(wanted={"train_on": ("sums",)}) == {"baseline": 3, "instruct": 3, "refine": 9}
    assert counted(wanted={"train_on": ("sums",), "fraction": None}, own_tasks=True) == dict.fromkeys(PHASES, 1)


def test_students_without_own_tasks_among_those_asked_for_are_told() -> None:
    one = {"train_on": ("sums",)}
    with pytest.raises(RecipeError, match=r"none of the students chosen was both trained and refined on cups or gifts"):
        counted(wanted=one, benchmarks=("cups", "gifts"), own_tasks=True)
    with pytest.raises(RecipeError, match=r"--own-tasks: none"):
        counted(wanted={**one, "refine_on": ("cups",)}, own_tasks=True)


def test_a_student_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"no such student; it has --train-on sums\|cups\|gifts"):
        counted(wanted={"train_on": ("chess",)})
    assert list(TASKS) == ["sums", "cups", "gifts"]
