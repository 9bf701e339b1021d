"""Picking one student of a run with several."""

import shlex
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.results.accuracy import summarised
from sitkit.results.arms import PICKERS, choose, picking
from sitkit.results.build import changes_of
from sitkit.results.model import Arm, Cell, Lesson, Results, Training
from sitkit.results.rows import StoredRows
from tests.report.synthetic import blank_cell, blank_pairs, made_results, score

TASKS = (("a",), ("b",))


def _arm(train: tuple[str, ...], refine: tuple[str, ...], *seeds: int, **more: Any) -> Arm:
    what: dict[str, Any] = {"student": "s", "teacher": "t", "strategy": "dpo", "fraction": 1.0, "method": "both"}
    lessons = []
    for seed in seeds or (0,):
        names = f"{'+'.join(train)} {seed}"
        reached = f"{names} {'+'.join(refine)}"
        lessons.append(Lesson(seed=seed, instruct=f"i {names}", pair=f"p {reached}", refine=f"r {reached}"))
    return Arm(**{**what, "train_on": train, "refine_on": refine, "lessons": tuple(lessons), **more})


def _matrix(*seeds: int) -> list[Arm]:
    return [_arm(train, refine, *seeds) for train, refine in product(TASKS, TASKS)]


def _results(*arms: Arm) -> Results:
    return made_results(arms, ())


def test_a_run_of_one_student_needs_no_choice() -> None:
    found = choose(_results(_arm(("a",), ("a",))), "refine", dict.fromkeys(PICKERS), "run")
    assert found.key == "r a 0 a"


def test_the_first_seed_is_taken_unless_another_is_named() -> None:
    results = _results(_arm(("a",), ("a",), 3, 4))
    assert choose(results, "refine", {}, "run").key == "r a 3 a"
    assert choose(results, "refine", {"seed": 4}, "run").key == "r a 4 a"
    with pytest.raises(RecipeError, match=r"no such refine student; it has --seed 3\|4"):
        choose(results, "refine", {"seed": 5}, "run")


def test_an_ambiguous_choice_lists_what_there_is_in_one_line() -> None:
    with pytest.raises(RecipeError) as raised:
        choose(_results(*_matrix(0, 1)), "refine", {}, "run")
    assert str(raised.value) == "run has several refine students; say which: --train-on a|b, --refine-on a|b"
    with pytest.raises(RecipeError, match="say which: --refine-on a"):
        choose(_results(*_matrix()), "refine", {"train_on": ("b",)}, "run")
    assert choose(_results(*_matrix()), "refine", {"train_on": ("b",), "refine_on": ("a",)}, "run").key == "r b 0 a"


def test_what_crosses_share_is_not_ambiguous() -> None:
    assert choose(_results(*_matrix()), "instruct", {"train_on": ("b",)}, "run").key == "i b 0"


def test_a_value_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"it has --train-on a\|b, --refine-on a\|b, --fraction 1"):
        choose(_results(*_matrix()), "refine", {"fraction": 0.5}, "run")


def test_a_run_without_such_a_phase_says_so() -> None:
    results = _results(_arm(("a",), (), method="instruct", lessons=(Lesson(seed=0, instruct="i"),)))
    with pytest.raises(RunNotFoundError, match="no student of the phase refine"):
        choose(results, "refine", {}, "run")
    with pytest.raises(RunNotFoundError):
        choose(_results(), "refine", {}, "run")


ARMS = st.builds(
    _arm,
    st.sampled_from(TASKS), st.sampled_from(TASKS), st.integers(0, 1),
    student=st.sampled_from(["s", "z"]), fraction=st.sampled_from([0.5, 1.0]),
)  # fmt: skip


def _named(arm: Arm) -> dict[str, Any]:
    return {name: arm.seeds[0] if name == "seed" else getattr(arm, name) for name in PICKERS}


@given(st.lists(ARMS, min_size=1, max_size=8), st.data())
def test_naming_everything_of_an_arm_finds_it(arms: list[Arm], data: st.DataObject) -> None:
    # Arms that agree on everything are one student.
    named = [replace(arm, lessons=(replace(arm.lessons[0], refine=str(_named(arm))),)) for arm in arms]
    wanted = data.draw(st.sampled_from(named))
    assert choose(_results(*named), "refine", _named(wanted), "run").key == wanted.lessons[0].refine


@pytest.mark.parametrize("number", range(4))
def test_the_options_printed_for_an_arm_find_it(number: int) -> None:
    alone = _arm(("a",), (), method="instruct", lessons=(Lesson(seed=0, instruct="i"),))
    results = _results(*_matrix(), _arm((), ("a",), method="refine"), alone)
    arm = results.arms[number]
    words = shlex.split(picking(results, arm))
    said = dict(zip(words[::2], words[1::2], strict=True))
    wanted = {"train_on": (said["--train-on"],), "refine_on": (said["--refine-on"],), "method": said["--method"]}
    assert choose(results, "refine", wanted, "run").arm == arm


def _cell(phase: str, train: tuple[str, ...] = (), refine: tuple[str, ...] = (), seeds: tuple[int, ...] = (0,)) -> Cell:
    what = {"student": "s", "teacher": "t", "strategy": "dpo", "benchmark": "a", "prompting": "cot"}
    blank = blank_cell(phase=phase, train_on=train, refine_on=refine, **what)
    return summarised(blank, [score(seed, phase, 5 + seed, 10) for seed in seeds])


def test_narrowed_to_one_arm_and_seed_keeps_what_is_its_own() -> None:
    arms = _matrix(0, 1)
    arm = arms[1]
    assert (arm.train_on, arm.refine_on) == (("a",), ("b",))
    cells = [_cell("baseline", seeds=(0, 1))]
    for train in TASKS:
        cells += [_cell("instruct", train, seeds=(0, 1)), *(_cell("refine", train, refine, (0, 1)) for refine in TASKS)]
    recipe = {"train_on": ["a", "b"], "refine_on": ["a", "b"], "cross": True, "seeds": [0, 1], "limit": 5}
    found = made_results(
        arms, cells, changes_of(cells, StoredRows(Path("nowhere"))), recipe=recipe, notices=("of another",),
        pairs=tuple(blank_pairs(str(lesson.pair)) for each in arms for lesson in each.lessons),
        training=tuple(_training(lesson.instruct) for each in arms[::2] for lesson in each.lessons),
    ).narrowed(arm, 1)  # fmt: skip
    assert [(cell.phase, cell.train_on, cell.refine_on) for cell in found.cells] == [
        ("baseline", (), ()), ("instruct", ("a",), ()), ("refine", ("a",), ("b",))
    ]  # fmt: skip
    assert [[each.seed for each in cell.seeds] for cell in found.cells[:2]] == [[1], [1]]
    # The baseline of seed 1 alone: 6 of 10 right, and nothing to tell seeds apart by.
    assert (found.cells[0].value, found.cells[0].over_seeds) == (0.6, None)
    assert [each.lessons for each in found.arms] == [arm.lessons[1:]]
    assert [pairs.key for pairs in found.pairs] == ["p a 1 b"]
    assert [training.key for training in found.training] == ["i a 1"]
    assert found.notices == ()
    assert found.recipe["limit"] == 5
    assert (found.recipe["train_on"], found.recipe["refine_on"]) == (["a"], ["b"])
    assert (found.recipe["cross"], found.recipe["seeds"]) == (False, [1])
    # A change is over all seeds, unless there is but one.
    assert found.changes == ()


def _training(key: str | None) -> Training:
    return Training(stage="instruct", label="", key=str(key), examples=1, dropped=0, steps=1, metrics={})
