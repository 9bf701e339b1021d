"""Picking one student of a run with several."""

import shlex
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.report.one_arm import narrowed
from sitkit.results.choose import PICKERS, choose, picking

TASKS = (["a"], ["b"])


def _arm(train: list[str], refine: list[str], seed: int = 0, **more: Any) -> dict[str, Any]:
    names = f"{'+'.join(train)} {seed}"
    arm = {
        "student": "s", "teacher": "t", "strategy": "dpo", "fraction": 1.0, "train_on": train, "refine_on": refine,
        "method": "both", "seed": seed, "annotate": [], "instruct": f"i {names}", "pair": f"p {names} {refine}",
        "refine": f"r {names} {'+'.join(refine)}",
    }  # fmt: skip
    return {**arm, **more}


def _matrix(seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return {"arms": [_arm(train, refine, seed) for train, refine, seed in product(TASKS, TASKS, seeds)]}


def test_a_run_of_one_student_needs_no_choice() -> None:
    found = choose({"arms": [_arm(["a"], ["a"])]}, "refine", dict.fromkeys(PICKERS), "run")
    assert found.key == "r a 0 a"


def test_the_first_seed_is_taken_unless_another_is_named() -> None:
    results = {"arms": [_arm(["a"], ["a"], seed) for seed in (3, 4)]}
    assert choose(results, "refine", {}, "run").key == "r a 3 a"
    assert choose(results, "refine", {"seed": 4}, "run").key == "r a 4 a"
    with pytest.raises(RecipeError, match=r"no such refine student; it has --seed 3\|4"):
        choose(results, "refine", {"seed": 5}, "run")


def test_an_ambiguous_choice_lists_what_there_is_in_one_line() -> None:
    with pytest.raises(RecipeError) as raised:
        choose(_matrix((0, 1)), "refine", {}, "run")
    assert str(raised.value) == "run has several refine students; say which: --train-on a|b, --refine-on a|b"
    with pytest.raises(RecipeError, match="say which: --refine-on a"):
        choose(_matrix(), "refine", {"train_on": ("b",)}, "run")
    assert choose(_matrix(), "refine", {"train_on": ("b",), "refine_on": ("a",)}, "run").key == "r b 0 a"


def test_what_crosses_share_is_not_ambiguous() -> None:
    assert choose(_matrix(), "instruct", {"train_on": ("b",)}, "run").key == "i b 0"


def test_a_value_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"it has --train-on a\|b, --refine-on a\|b, --fraction 1"):
        choose(_matrix(), "refine", {"fraction": 0.5}, "run")


def test_a_run_without_such_a_phase_says_so() -> None:
    results = {"arms": [_arm(["a"], []) | {"refine": None, "method": "instruct"}]}
    with pytest.raises(RunNotFoundError, match="no student of the phase refine"):
        choose(results, "refine", {}, "run")
    with pytest.raises(RunNotFoundError):
        choose({}, "refine", {}, "run")


ARMS = st.builds(
    _arm,
    st.sampled_from(TASKS), st.sampled_from(TASKS), st.integers(0, 1),
    student=st.sampled_from(["s", "z"]), fraction=st.sampled_from([0.5, 1.0]),
)  # fmt: skip


@given(st.lists(ARMS, min_size=1, max_size=8), st.data())
def test_naming_everything_of_an_arm_finds_it(arms: list[dict[str, Any]], data: st.DataObject) -> None:
    # Arms that agree on everything are one student.
    for arm in arms:
        arm["refine"] = str([arm[name] for name in PICKERS])
    wanted = data.draw(st.sampled_from(arms))
    names = {name: tuple(wanted[name]) if isinstance(wanted[name], list) else wanted[name] for name in PICKERS}
    assert choose({"arms": arms}, "refine", names, "run").key == wanted["refine"]


@given(st.integers(0, 3))
def test_the_options_printed_for_an_arm_find_it(number: int) -> None:
    alone = {**_arm(["a"], [], method="instruct"), "refine": None}
    results = {"arms": [*_matrix()["arms"], _arm([], ["a"], method="refine"), alone]}
    arm = results["arms"][number]
    words = shlex.split(picking(results, arm))
    said = dict(zip(words[::2], words[1::2], strict=True))
    wanted = {"train_on": (said["--train-on"],), "refine_on": (said["--refine-on"],), "method": said["--method"]}
    assert choose(results, "refine", wanted, "run").key == arm["refine"]


def test_narrowed_keeps_the_rows_of_the_arm_alone() -> None:
    results = _matrix((0, 1))
    arm = results["arms"][2]
    assert (arm["train_on"], arm["refine_on"], arm["seed"]) == (["a"], ["b"], 0)
    blank = {"student": "s", "teacher": "", "strategy": "dpo", "fraction": 1.0, "method": "both"}
    rows = [{**blank, "phase": "baseline", "train_on": [], "refine_on": [], "seed": seed} for seed in (0, 1)]
    for train, seed in product(TASKS, (0, 1)):
        rows.append({**blank, "teacher": "t", "phase": "instruct", "train_on": train, "refine_on": [], "seed": seed})
        rows += [
            {**blank, "teacher": "t", "phase": "refine", "train_on": train, "refine_on": refine, "seed": seed}
            for refine in TASKS
        ]
    keys = {"pairs": {"by_arm": [{"key": one["pair"], "total": index} for index, one in enumerate(results["arms"])]}}
    recipe = {"train_on": ["a", "b"], "refine_on": ["a", "b"], "cross": True, "seeds": [0, 1], "limit": 5}
    more = {"training": [{"key": "i a 0", "warnings": ["w"]}, {"key": "i b 0", "warnings": ["v"]}]}
    found = narrowed({**results, **keys, **more, "scores": rows, "recipe": recipe, "demonstrations": []}, arm)
    assert [(row["phase"], row["train_on"], row["refine_on"], row["seed"]) for row in found["scores"]] == [
        ("baseline", [], [], 0), ("instruct", ["a"], [], 0), ("refine", ["a"], ["b"], 0),
    ]  # fmt: skip
    assert found["pairs"]["total"] == 2
    assert found["notices"] == ["w"]
    assert found["recipe"] | {"limit": 5, "cross": False, "seeds": [0]} == found["recipe"]
