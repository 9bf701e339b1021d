"""What a reader is told first: each trouble in one sentence, only where it is larger than chance, gravest first."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.report.warnings import warnings_of
from sitkit.results.build import changes_of
from sitkit.results.model import Cell, Duplicates, Pairs, Results, Training
from sitkit.results.rows import StoredRows
from sitkit.results.significance import compare
from tests.report.synthetic import blank_cell, blank_pairs, made_results, score
from tests.sitkit_paper.paper_run import run


def _results(cells: Sequence[Cell] = (), **more: Any) -> Results:
    return made_results([], cells, changes_of(cells, StoredRows(Path("nowhere"))), **more)


def _cell(phase: str, percent: float, *, stderr: float = 0.01, n: int = 100, length: int = 0, **more: Any) -> Cell:
    """A cell of one seed, whose answers are ``length`` characters long."""
    scored = score(0, phase, 0, n, value=percent / 100, stderr=stderr, characters=length * n)
    what: dict[str, Any] = {"benchmark": "gsm8k", "prompting": "cot", "train_on": ("gsm8k",), "refine_on": ("gsm8k",)}
    numbers = {"value": percent / 100, "over_questions": stderr, "n": n, "seeds": (scored,)}
    return blank_cell(phase=phase, **{**what, **numbers, **more})


def _pairs(**more: int) -> tuple[Pairs, ...]:
    return (blank_pairs("p", questions=100, total=100, **more),)


def _training(stage: str = "refine", **metrics: float) -> Training:
    return Training(stage=stage, label="", key="t", examples=1, dropped=0, steps=1, metrics=metrics)


def test_nothing_is_said_of_a_run_without_trouble() -> None:
    cells = [_cell("baseline", 40), _cell("instruct", 50), _cell("refine", 60)]
    trained = (_training(chosen_logp_shift=0.5),)
    assert warnings_of(_results(cells, pairs=_pairs(rejected_correct=10), training=trained)) == []


@pytest.mark.parametrize(("after", "told"), [(0.59, True), (0.16, False), (0.02, False)])
def test_refining_that_teaches_to_go_on_and_on_is_told(after: float, told: bool) -> None:
    cells = [_cell("instruct", 50, truncated=0.12), _cell("refine", 50, truncated=after)]
    said = [text for text in warnings_of(_results(cells)) if "rose by refining" in text]
    assert len(said) == told
    assert not told or "rose by refining: gsm8k/cot from 12% to 59%" in said[0]


def test_a_fall_below_the_baseline_is_told() -> None:
    (said,) = warnings_of(_results([_cell("baseline", 60), _cell("instruct", 50)]))
    assert said == "instruction-tuning lowered accuracy on: gsm8k/cot (-10.0)"


def test_a_fall_within_its_error_is_not_told() -> None:
    assert warnings_of(_results([_cell("baseline", 60, stderr=0.04), _cell("instruct", 50, stderr=0.04)])) == []


@pytest.mark.parametrize(("back", "told"), [(0, True), (25, False)])
def test_where_answers_are_paired_their_test_decides_what_is_a_fall(back: int, told: bool) -> None:
    # 10 of 100 questions are lost on balance: for certain if none comes back, by chance if 25 do and 35 go.
    before = {str(one): one < 60 for one in range(100)}
    after = {str(one): 10 + back <= one < 60 + back for one in range(100)}
    paired = compare([(before, after)])
    results = _results([_cell("baseline", 60, stderr=0.04), _cell("instruct", 50, stderr=0.04)])
    assert warnings_of(results) == []
    results = replace(results, changes=tuple(replace(change, paired=paired) for change in results.changes))
    assert bool(warnings_of(results)) is told


def test_refining_alone_is_compared_with_the_untaught_student() -> None:
    alone = _cell("refine", 50, method="refine", train_on=())
    said = warnings_of(_results([_cell("baseline", 60), _cell("instruct", 30), alone]))
    assert any("refining lowered accuracy on: gsm8k/cot (-10.0)" in text for text in said)


def test_cells_of_a_matrix_are_told_apart() -> None:
    said = warnings_of(_results(run("Llama-2-7").cells))
    assert said[0].startswith(
        "instruction-tuning lowered accuracy in 16 of 36 cells, most on: multiarith/cot trained on piqa (-13.5)"
    )
    # The crossed cells, too, are compared with the student they started from.
    assert (
        said[1]
        == "refining lowered accuracy on: piqa/cot trained on gsm8k (-1.4), social_i_qa/cot trained on gsm8k (-0.1)"
    )


# The first example pays for the import of scipy.
@pytest.mark.parametrize(
    ("what", "other", "named"),
    [
        ({"refine_on": ("obqa",)}, {}, "gsm8k/cot refined on obqa"),
        ({"fraction": 0.5}, {"fraction": 1.0}, "gsm8k/cot at 50%"),
        ({"teacher": "gold"}, {"teacher": "hf:a"}, "gsm8k/cot by gold"),
        ({"student": "hf:b"}, {"student": "hf:c"}, "hf:b gsm8k/cot"),
    ],
)
def test_a_cell_is_named_by_what_there_are_several_of(what: dict[str, Any], other: dict[str, Any], named: str) -> None:
    cells = [_cell("refine", 50, unread=0.2, **what), _cell("refine", 50, **other)]
    (said,) = warnings_of(_results(cells))
    assert said.endswith(f"refine {named} 20%")


@settings(deadline=None, max_examples=5)
@given(st.lists(st.floats(0, 1), min_size=114, max_size=114), st.floats(0, 0.1), st.floats(0, 1))
def test_a_whole_matrix_gives_a_short_list(values: list[float], stderr: float, unread: float) -> None:
    cells = [
        replace(cell, value=value, unread=unread)
        for cell, value in zip(run("Mistral-7", stderr=stderr).cells, values, strict=True)
    ]
    said = warnings_of(_results(cells, notices=tuple(f"stage {i}: {i} rows were cut" for i in range(40))))
    assert len(said) <= 8
    assert all(len(text) < 500 for text in said)


def test_unread_answers_are_told_by_phase_and_the_worst_named() -> None:
    (said,) = warnings_of(_results([_cell("baseline", 40, unread=0.052)]))
    assert said.endswith("could not be read and count as wrong: baseline gsm8k/cot 5%")
    assert warnings_of(_results([_cell("baseline", 40, unread=0.05)])) == []
    many = [_cell("baseline", 40, student=f"s{i}", unread=0.1 * i) for i in range(7)]
    (said,) = warnings_of(_results(many))
    assert "6 of 7 baseline cells, worst baseline s6 gsm8k/cot 60%; baseline s5 gsm8k/cot 50%" in said


def test_chosen_answers_that_become_less_likely_are_told_with_their_source() -> None:
    trained = [_training(chosen_logp_shift=shift) for shift in (-0.9, -4.25, 1.0)]
    (said,) = warnings_of(_results(training=(*trained, _training("instruct"), _training())))
    assert "in 1 of 3 refinements" in said
    assert "-4.2 nats" in said
    assert "2402.13228" in said


def test_right_answers_that_were_rejected_are_told_above_a_tenth() -> None:
    (said,) = warnings_of(_results(pairs=_pairs(rejected_correct=11)))
    assert "in 11% of the pairs the rejected answer was right too (11 of 100)" in said


def test_much_longer_chosen_answers_are_told_unless_answers_did_not_grow() -> None:
    pairs = _pairs(chosen_characters=20000, rejected_characters=2000)
    (said,) = warnings_of(_results(pairs=pairs))
    assert "chosen answers are 10 times as long" in said
    assert "2403.19159" in said
    instructed = _cell("instruct", 50, length=100)
    assert warnings_of(_results([instructed, _cell("refine", 60, length=120)], pairs=pairs)) == []
    (said,) = warnings_of(_results([instructed, _cell("refine", 60, length=200)], pairs=pairs))
    assert "they grew from 100 to 200 characters" in said
    assert warnings_of(_results(pairs=_pairs(chosen_characters=6000, rejected_characters=2000))) == []


def test_a_gain_too_small_for_its_questions_is_told_with_how_many_it_takes() -> None:
    cells = [_cell("instruct", 50, stderr=0.05), _cell("refine", 60, stderr=0.05)]
    (said,) = warnings_of(_results(cells))
    assert said == (
        "100 questions are too few: only gains above 20 points would show (1 of 1 cells; gsm8k/cot +10.0 would take"
        " about 410 questions)"
    )
    assert warnings_of(_results([cells[0], _cell("refine", 50.5, stderr=0.05)])) == []


@pytest.mark.parametrize(("lost", "said"), [(4, 0), (20, 1)])
def test_a_gain_that_the_paired_test_shows_has_questions_enough(lost: int, said: int) -> None:
    before = {str(one): one < 50 for one in range(100)}
    after = {
        name: not right if number < lost or 50 <= number < 60 + lost else right
        for number, (name, right) in enumerate(before.items())
    }
    results = _results([_cell("instruct", 50, stderr=0.05), _cell("refine", 60, stderr=0.05)])
    assert len(warnings_of(results)) == 1
    (change,) = results.changes
    paired = replace(results, changes=(replace(change, paired=compare([(before, after)])),))
    assert len(warnings_of(paired)) == said


def test_near_zero_accuracy_is_said_plainly_and_first() -> None:
    said = warnings_of(_results([_cell("baseline", 0), _cell("refine", 1)], pairs=_pairs(rejected_correct=20)))
    assert said[0].startswith("accuracy is near zero everywhere (best 1.0%")
    assert len(said) > 1


def test_a_run_that_only_instructs_is_warned_of_by_what_instructing_did() -> None:
    near_zero = warnings_of(_results([_cell("baseline", 0), _cell("instruct", 1)]))
    assert near_zero[0].startswith("accuracy is near zero everywhere (best 1.0% after instruction-tuning)")
    cells = [_cell("baseline", 50, stderr=0.05), _cell("instruct", 60, stderr=0.05)]
    assert any("questions are too few" in text for text in warnings_of(_results(cells)))


def test_a_benchmark_that_stays_near_zero_among_others_is_named() -> None:
    cells = [_cell("refine", 60), _cell("refine", 2, benchmark="multiarith")]
    assert warnings_of(_results(cells))[0] == "accuracy with CoT is near zero after refining on: multiarith"


def test_duplicates_come_first_and_name_what_to_do() -> None:
    counts = (Duplicates(benchmark="piqa", n=100, in_train=3), Duplicates(benchmark="gsm8k", n=100, in_train=0))
    said = warnings_of(_results([_cell("baseline", 60), _cell("instruct", 50)], duplicates=counts))
    assert said[0].startswith("test questions also in the training set: piqa 3 of 100; --drop-duplicates")
    assert len(said) == 2


def test_notices_that_differ_in_numbers_alone_are_one() -> None:
    notices = (*(f"{i} of 100 questions were left unanswered" for i in range(5)), "something else")
    assert warnings_of(_results(notices=notices)) == [
        "0 of 100 questions were left unanswered (and 4 more like it)",
        "something else",
    ]
    different = tuple(f"note {'x' * i}" for i in range(30))
    assert warnings_of(_results(notices=different))[-1] == "20 more notices are in results.json"


def test_the_error_of_seeds_counts_too() -> None:
    cells = [_cell("baseline", 60), _cell("instruct", 50)]
    assert len(warnings_of(_results(cells))) == 1
    assert warnings_of(_results([cells[0], replace(cells[1], over_seeds=0.06)])) == []
    assert replace(cells[1], over_seeds=0.05).error == pytest.approx(math.hypot(0.01, 0.05))
