"""Numbers computed by hand: cells over seeds, changes over shared seeds, and what a change is made of."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.results.accuracy import half_interval, standard_error, style_and_skill, summarised, wilson
from sitkit.results.build import change_between, changes_of
from sitkit.results.model import Cell, SeedScore, of_seed
from sitkit.results.rows import StoredRows
from tests.report.synthetic import blank_cell, score

NOTHING = StoredRows(Path("nowhere"))


def _score(seed: int, right: int, *, worked: int = 0, worked_right: int = 0, **more: Any) -> SeedScore:
    return score(seed, f"k{seed}", right, 100, worked=worked, worked_correct=worked_right, **more)


def _cell(phase: str, *scores: SeedScore, **more: Any) -> Cell:
    tasks = ("b",)
    what = {"benchmark": "b", "prompting": "cot", "train_on": tasks, "refine_on": tasks} | more
    return summarised(blank_cell(phase=phase, **what), scores)


def test_a_change_that_is_only_more_worked_answers_is_style() -> None:
    # Worked answers are right 80 in 100, others 20 in 100, before and after; half of them are worked, then all.
    style, skill = style_and_skill(
        _score(0, 50, worked=50, worked_right=40), _score(0, 80, worked=100, worked_right=80)
    )
    assert style == pytest.approx(0.3)
    assert skill == pytest.approx(0)


def test_a_change_at_the_same_worked_share_is_skill() -> None:
    found = style_and_skill(_score(0, 50, worked=100, worked_right=50), _score(0, 70, worked=100, worked_right=70))
    assert found == (pytest.approx(0), pytest.approx(0.2))


def test_a_change_of_both_is_split_at_the_means() -> None:
    # Worked: 20 of 100 at 0.5, then 60 of 100 at 0.7; others: 0.25, then 0.4. The advantage of worked answers goes from
    # 0.25 to 0.3: style is 0.4 times 0.275, and 0.58 - 0.30 is the whole change.
    style, skill = style_and_skill(_score(0, 30, worked=20, worked_right=10), _score(0, 58, worked=60, worked_right=42))
    assert style == pytest.approx(0.11)
    assert skill == pytest.approx(0.17)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_style_and_skill_add_up_to_the_change(counts: list[int]) -> None:
    before, after = (
        _score(0, min(pair) + pair[1] % 7, worked=pair[0], worked_right=min(pair)) for pair in (counts[:2], counts[2:])
    )
    assert sum(style_and_skill(before, after)) == pytest.approx(after.value - before.value)


def test_a_cell_of_three_seeds() -> None:
    cell = _cell(
        "refine",
        _score(0, 50, worked=20, worked_right=10, unread=3, truncated=10, finished_correct=45),
        _score(1, 60, worked=40, worked_right=30, unread=0),
        _score(2, 70, worked=60, worked_right=50, unread=6, truncated=20, finished_correct=69),
    )
    assert (cell.value, cell.n, len(cell.seeds)) == (pytest.approx(0.6), 100, 3)
    # Over questions: the mean of the seeds' errors, who share their questions: (0.049752 + 0.048756 + 0.045641) / 3,
    # each sqrt(p (1 - p) / 100 + 1 / 40000) / 1.01. Over seeds: 0.1 / sqrt(3).
    assert cell.over_questions == pytest.approx(0.048050, abs=1e-6)
    assert cell.deviation == pytest.approx(0.1)
    assert cell.over_seeds == pytest.approx(0.0577350269)
    assert cell.error == pytest.approx(math.hypot(cell.over_questions, 0.0577350269))
    assert cell.unread == pytest.approx(9 / 300)
    assert cell.worked == pytest.approx(120 / 300)
    assert cell.worked_accuracy == pytest.approx(90 / 120)
    assert cell.other_accuracy == pytest.approx(90 / 180)
    assert cell.truncated == pytest.approx(30 / 300)
    assert cell.finished_accuracy == pytest.approx(174 / 270)
    assert cell.keys == ("k0", "k1", "k2")


def test_a_cell_of_one_seed_has_no_error_over_seeds() -> None:
    cell = _cell("refine", _score(0, 50), _score(1, 60))
    alone = of_seed(cell, 1)
    assert (alone.value, alone.over_seeds, alone.deviation) == (0.6, None, None)
    assert alone.error == pytest.approx(0.048756, abs=1e-6)
    assert (alone.worked_accuracy, alone.other_accuracy) == (None, 0.6)


def test_the_t_interval_over_seeds() -> None:
    # t(0.975, 2) = 4.302653 (any table); times 0.1 / sqrt(3)
    assert half_interval([0.5, 0.6, 0.7]) == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert half_interval([0.5]) is None


def test_a_change_is_the_mean_over_the_seeds_both_have() -> None:
    cells = [
        _cell("instruct", _score(0, 40), _score(1, 50), _score(7, 0)),
        _cell("refine", _score(0, 50), _score(1, 66), _score(8, 100)),
    ]
    change = change_between(cells, 0, 1, NOTHING)
    assert change.value == pytest.approx(0.13)
    # The gains 0.10 and 0.16 deviate by 0.03 * sqrt(2) = 0.0424264; t(0.975, 1) = 12.7062, divided by sqrt(2).
    assert change.interval == pytest.approx(12.7062 * 0.03, rel=1e-4)
    assert change.style + change.skill == pytest.approx(0.13)
    assert change.paired is None


def test_a_change_of_nothing_takes_no_number_of_questions() -> None:
    cells = [_cell("instruct", _score(0, 40)), _cell("refine", _score(0, 40))]
    change = change_between(cells, 0, 1, NOTHING)
    assert (change.value, change.needed, change.interval) == (0, None, None)


def test_each_cell_is_compared_with_the_student_it_started_from() -> None:
    cells = [
        _cell("baseline", _score(0, 40)),
        _cell("instruct", _score(0, 50)),
        _cell("instruct", _score(0, 51), fraction=0.5),
        _cell("instruct", _score(0, 52), train_on=("piqa",)),
        _cell("refine", _score(0, 60), fraction=0.5),
        _cell("refine", _score(0, 61), train_on=("piqa",)),
        _cell("refine", _score(0, 62), train_on=(), method="refine"),
        _cell("refine", _score(0, 63), student="other"),
    ]
    ends = {(change.before, change.after) for change in changes_of(cells, NOTHING)}
    assert ends == {(0, 1), (0, 2), (0, 3), (2, 4), (3, 5), (0, 6)}


def test_none_right_is_not_certain() -> None:
    # From 0 to 1/9, so 1/18 to each side.
    assert standard_error(0.0, 8) == pytest.approx(1 / 18)
    assert standard_error(1.0, 8) == pytest.approx(1 / 18)


def test_wilsons_interval_is_as_printed() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857-872), Table I, method 3.
    assert wilson(81 / 263, 263) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 20) == (0, pytest.approx(0.1611, abs=5e-5))
