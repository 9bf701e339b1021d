"""Summaries: means over seeds, what gains are made of, what a reader is told."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.report.markdown import markdown
from sitkit.report.summary import gains, half_interval, summarise
from sitkit.report.warnings import remarks

PAIRS = {
    "total": 10, "chosen_from_student": 6, "chosen_from_teacher": 4, "chosen_from_target": 0,
    "rejected_correct": 2, "left_out": 1, "left_out_reasons": {"same text": 1},
}  # fmt: skip


def _row(
    phase: str, value: float, worked: int, right: int, *, seed: int = 0, n: int = 100, **more: Any
) -> dict[str, Any]:
    return {
        "benchmark": "b", "prompting": "cot", "phase": phase, "value": value, "stderr": 0.05, "n": n, "seed": seed,
        "worked": worked, "worked_correct": right, "extraction_failures": 0, "transfer": "trained", **more,
    }  # fmt: skip


_ARM = {
    "student": "s", "teacher": "t", "strategy": "dpo-cot", "train_on": ["b"], "refine_on": ["b"], "fraction": 1.0,
    "method": "both", "seed": 0,
}  # fmt: skip


def _results(rows: list[dict[str, Any]]) -> dict[str, Any]:
    recipe = {
        "student": "s", "teacher": "t", "strategy": "dpo-cot", "train_on": ["b"], "refine_on": None, "seeds": [0],
        "fraction": 1.0, "limit": None, "test_limit": 7, "data_dir": "/data",
        "set": {"evaluate": {"max_new_tokens": 96}},
    }  # fmt: skip
    return {
        "scores": rows, "pairs": PAIRS, "notices": ["|<b>"], "recipe": recipe, "stages": [], "demonstrations": [],
        "versions": {"python": "3"}, "students": [], "training": [],
        "tasks": {"b": {"direct": "task_b_direct", "cot": "task_b_cot"}}, "arms": [{"refine": "k", **_ARM}],
    }  # fmt: skip


def test_a_gain_that_is_only_more_worked_answers_is_style() -> None:
    # Worked answers are right 80 in 100, others 20 in 100, before and after; half of them are worked, then all.
    (gain,) = gains([_row("instruct", 0.5, 50, 40), _row("refine", 0.8, 100, 80)])
    assert gain.value == pytest.approx(0.3)
    assert gain.style == pytest.approx(0.3)
    assert gain.skill == pytest.approx(0)


def test_a_gain_at_the_same_worked_share_is_skill() -> None:
    (gain,) = gains([_row("instruct", 0.5, 100, 50), _row("refine", 0.7, 100, 70)])
    assert (gain.style, gain.skill) == (pytest.approx(0), pytest.approx(0.2))


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_style_and_skill_add_up_to_the_gain(counts: list[int]) -> None:
    rows = []
    for phase, (worked, extra) in zip(
        ("instruct", "refine"), ((counts[0], counts[1]), (counts[2], counts[3])), strict=True
    ):
        right = min(worked, extra)
        rows.append(_row(phase, (right + extra % 7) / 100, worked, right))
    (gain,) = gains(rows)
    assert gain.style + gain.skill == pytest.approx(rows[1]["value"] - rows[0]["value"])


def test_seeds_give_a_mean_a_deviation_and_a_t_interval() -> None:
    values = [0.5, 0.6, 0.7]
    (cell,) = summarise([_row("refine", value, 0, 0, seed=seed) for seed, value in enumerate(values)])
    assert (cell.value, cell.deviation, cell.seeds) == (pytest.approx(0.6), pytest.approx(0.1), 3)
    # t(0.975, 2) = 4.302653 (any table); times 0.1 / sqrt(3)
    assert half_interval(values) == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert half_interval([0.5]) is None


def test_near_zero_accuracy_is_said_plainly_and_first() -> None:
    said = remarks(_results([_row("baseline", 0.0, 0, 0), _row("refine", 0.01, 0, 0)]))
    assert said[0].startswith("accuracy is near zero everywhere (best 1.0%")


def test_a_fall_unread_answers_and_right_rejected_ones_are_told() -> None:
    rows = [_row("instruct", 0.5, 0, 0), _row("refine", 0.4, 0, 0, extraction_failures=9, stderr=0.01)]
    said = " ".join(remarks(_results(rows)))
    assert "refining lowered accuracy on: b/cot (-10.0)" in said
    assert "9%" in said
    assert "20% of the pairs the rejected answer was right" in said
    assert "refining" not in " ".join(remarks(_results([_row("instruct", 0.4, 0, 0), _row("refine", 0.5, 0, 0)])))


def test_markdown_holds_the_numbers_and_escapes_what_it_is_told() -> None:
    text = markdown(_results([_row("refine", 0.5, 100, 50)]), "name")
    assert "50.0 ± 5.0" in text
    assert "\\|&lt;b>" in text


def test_markdown_has_the_lm_eval_command_of_this_very_run() -> None:
    text = markdown(_results([_row("refine", 0.5, 100, 50)]), "name")
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
    results = _results([_row("refine", 0.5, 100, 50, **{**_ARM, "seed": 0})])
    results["arms"] = [
        {"refine": None, **_ARM, "method": "instruct"},
        {"refine": "k", **_ARM, "seed": 3},
        {"refine": "l", **_ARM, "seed": 3, "refine_on": ["c d"], "fraction": 0.5},
    ]
    text = markdown(results, "name")
    assert "export name ./student --merge --refine-on b --fraction 1\n" in text
    assert '"seed": 3' in text
    # Students that recommend other settings each: no one length of answers is right for all.
    results["recipe"]["set"] = {}
    assert "lm_eval" not in markdown(results, "name")
