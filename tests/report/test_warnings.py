"""What a reader is told first: each trouble in one sentence, only where it is larger than chance, gravest first."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.components import Component
from sitkit.report.cells import before, collect, floored, signed
from sitkit.report.duplicates import duplicates
from sitkit.report.power import detectable, independent_discordance, needed
from sitkit.report.warnings import remarks
from sitkit.results.artifacts import Stored
from sitkit.types import Question
from tests.sitkit_paper.paper_run import row, run

NO_PAIRS: dict[str, Any] = {"total": 0, "left_out_reasons": {}}


def _results(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"scores": rows, "pairs": NO_PAIRS, "training": [], "notices": []} | more


def _taught(phase: str, percent: float, *, stderr: float = 0.01, **more: Any) -> dict[str, Any]:
    refined = {"refine_on": ["gsm8k"]} if phase == "refine" else {}
    return row(phase, "gsm8k", percent, **{"stderr": stderr, "train_on": ["gsm8k"], **refined, **more})


def _pairs(**more: int) -> dict[str, Any]:
    return {"total": 100, "rejected_correct": 0, "left_out_reasons": {}} | more


def test_nothing_is_said_of_a_run_without_trouble() -> None:
    rows = [_taught("baseline", 40, teacher=""), _taught("instruct", 50), _taught("refine", 60)]
    trained = [{"stage": "refine", "metrics": {"chosen_logp_shift": 0.5}}]
    assert remarks(_results(rows, pairs=_pairs(rejected_correct=10), training=trained)) == []


def test_a_fall_below_the_baseline_is_told_with_the_papers_own_count() -> None:
    (said,) = remarks(_results([_taught("baseline", 60, teacher=""), _taught("instruct", 50)]))
    assert said == (
        "instruction-tuning lowered accuracy on: gsm8k/cot (-10.0); so it did in the paper's Tables 1, 10 and 11, in 53"
        " of 108 cells (below Baseline CoT)"
    )


def test_a_fall_within_its_error_is_not_told() -> None:
    rows = [_taught("baseline", 60, stderr=0.04, teacher=""), _taught("instruct", 50, stderr=0.04)]
    assert remarks(_results(rows)) == []


def test_refining_alone_is_compared_with_the_untaught_student() -> None:
    rows = [
        _taught("baseline", 60, teacher=""),
        _taught("instruct", 30, method="both"),
        _taught("refine", 50, method="refine", train_on=[]),
    ]
    assert any("refining lowered accuracy on: gsm8k/cot (-10.0)" in one for one in remarks(_results(rows)))


def test_cells_of_a_matrix_are_told_apart() -> None:
    results = run("Llama-2-7")
    said = remarks(results)
    assert (
        "instruction-tuning lowered accuracy in 16 of 36 cells, most on: multiarith/cot trained on piqa (-13.5)"
        in (said[0])
    )
    # The crossed cells, too, are compared with the student they started from.
    assert (
        said[1]
        == "refining lowered accuracy on: piqa/cot trained on gsm8k (-1.4), social_i_qa/cot trained on gsm8k (-0.1)"
    )


# The first example pays for the import of scipy.
@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=114, max_size=114), st.floats(0, 0.1), st.integers(0, 400))
def test_a_whole_matrix_gives_a_short_list(values: list[float], stderr: float, unread: int) -> None:
    results = run("Mistral-7", stderr=stderr)
    for one, value in zip(results["scores"], values, strict=True):
        one["value"], one["extraction_failures"] = value, unread
    results["notices"] = [f"stage {i}: {i} rows were cut" for i in range(40)]
    said = remarks(results)
    assert len(said) <= 8
    assert all(len(text) < 500 for text in said)


def test_unread_answers_are_told_by_phase_and_the_worst_named() -> None:
    rows = [_taught("baseline", 40, teacher="", extraction_failures=26, n=500)]
    (said,) = remarks(_results(rows))
    assert said.endswith("could not be read and count as wrong: baseline gsm8k/cot 5%")
    rows[0]["extraction_failures"] = 25
    assert remarks(_results(rows)) == []
    many = [_taught("baseline", 40, teacher="", student=f"s{i}", extraction_failures=50 * i) for i in range(7)]
    (said,) = remarks(_results(many))
    assert "6 of 7 baseline cells, worst baseline s6 gsm8k/cot 60%; baseline s5 gsm8k/cot 50%" in said


def test_chosen_answers_that_become_less_likely_are_told_with_their_source() -> None:
    trained = [{"stage": "refine", "metrics": {"chosen_logp_shift": shift}} for shift in (-0.9, -4.25, 1.0)]
    (said,) = remarks(_results([], training=[*trained, {"stage": "instruct", "metrics": {}}]))
    assert "in 1 of 3 refinements" in said
    assert "-4.2 nats" in said
    assert "2402.13228" in said


def test_the_log_stands_in_for_a_student_that_measures_no_shift() -> None:
    log = [{"loss": 0.7}, {"logps/chosen": -10.0}, {"logps/chosen": -15.0}]
    (said,) = remarks(_results([], training=[{"stage": "refine", "metrics": {}, "log": log}]))
    assert "-5.0 nats" in said


def test_right_answers_that_were_rejected_are_told_above_a_tenth() -> None:
    (said,) = remarks(_results([], pairs=_pairs(rejected_correct=11)))
    assert "in 11% of the pairs the rejected answer was right too (11 of 100)" in said


def test_much_longer_chosen_answers_are_told_unless_answers_did_not_grow() -> None:
    pairs = _pairs(chosen_characters=20000, rejected_characters=2000)
    (said,) = remarks(_results([], pairs=pairs))
    assert "chosen answers are 10 times as long" in said
    assert "2403.19159" in said
    rows = [_taught("instruct", 50, characters=50000), _taught("refine", 60, characters=60000)]
    assert remarks(_results(rows, pairs=pairs)) == []
    rows[1]["characters"] = 100000
    (said,) = remarks(_results(rows, pairs=pairs))
    assert "they grew from 100 to 200 characters" in said
    assert remarks(_results([], pairs=_pairs(chosen_characters=6000, rejected_characters=2000))) == []


def test_a_gain_too_small_for_its_questions_is_told_with_how_many_it_takes() -> None:
    rows = [_taught("instruct", 50, stderr=0.05, n=100), _taught("refine", 60, stderr=0.05, n=100)]
    (said,) = remarks(_results(rows))
    assert "in 1 of 1 cells: 100 questions show only gains above 19.6 points (80% power)" in said
    assert said.endswith("the largest of these, gsm8k/cot +10.0, takes about 400 questions")
    rows[1]["value"] = 0.505
    assert remarks(_results(rows)) == []


@pytest.mark.parametrize(("lost", "said"), [(4, 0), (20, 1)])
def test_a_gain_that_the_paired_test_shows_has_questions_enough(tmp_path: Path, lost: int, said: int) -> None:
    before = [number < 50 for number in range(100)]
    after = [not right if number < lost or 50 <= number < 60 + lost else right for number, right in enumerate(before)]
    for key, answers in (("b" * 20, before), ("a" * 20, after)):
        folder = tmp_path / "store" / "evaluate" / key
        folder.mkdir(parents=True)
        lines = (
            json.dumps({"prompting": "cot", "question_id": str(one), "correct": right})
            for one, right in enumerate(answers)
        )
        (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    rows = [
        _taught("instruct", 50, stderr=0.05, n=100, key="b" * 20),
        _taught("refine", 60, stderr=0.05, n=100, key="a" * 20),
    ]
    assert len(remarks(_results(rows))) == 1
    assert len(remarks(_results(rows), Stored(tmp_path))) == said


def test_duplicates_come_first_and_name_what_to_do() -> None:
    counts = [{"benchmark": "piqa", "n": 100, "in_train": 3}, {"benchmark": "gsm8k", "n": 100, "in_train": 0}]
    rows = [_taught("baseline", 60, teacher=""), _taught("instruct", 50)]
    said = remarks(_results(rows, duplicates=counts))
    assert said[0].startswith("test questions that are training questions too: piqa 3 of 100; --drop-duplicates")


def test_notices_that_differ_in_numbers_alone_are_one() -> None:
    notices = [f"{i} of 100 questions were left unanswered" for i in range(5)] + ["something else"]
    assert remarks(_results([], notices=notices)) == [
        "0 of 100 questions were left unanswered (and 4 more like it)",
        "something else",
    ]
    different = [f"note {'x' * i}" for i in range(30)]
    assert remarks(_results([], notices=different))[-1] == "20 more notices stand in results.json"


def test_old_results_without_arms_or_methods_are_read() -> None:
    rows = [_taught("baseline", 60), _taught("instruct", 50)]
    for one in rows:
        for name in ("method", "key", "fraction", "student", "teacher", "strategy", "train_on", "refine_on", "domain"):
            del one[name]
    assert len(remarks(_results(rows))) == 1


def test_seeds_are_one_cell_and_a_row_that_is_there_twice_counts_once() -> None:
    rows = [_taught("refine", value, seed=seed) for seed, value in enumerate((50, 60))]
    (cell,) = collect([*rows, rows[0]])
    assert (cell.seeds, cell.value) == (2, pytest.approx(0.55))
    # 0.01 over questions, and 0.0707 / sqrt(2) over seeds.
    assert cell.error == pytest.approx((0.01**2 + 0.05**2) ** 0.5)


def test_each_cell_is_compared_with_the_student_it_started_from() -> None:
    rows = [
        _taught("baseline", 40, teacher=""),
        _taught("instruct", 50),
        _taught("instruct", 51, fraction=0.5),
        _taught("instruct", 52, train_on=["piqa"]),
        _taught("refine", 60, fraction=0.5),
        _taught("refine", 61, train_on=["piqa"]),
    ]
    found = {(round(100 * one.value), round(100 * other.value)) for one, other in before(collect(rows))}
    assert found == {(40, 50), (40, 51), (40, 52), (51, 60), (52, 61)}


def test_none_right_is_not_certain() -> None:
    assert floored(0.0, 0.0, 8) == pytest.approx((0.1 * 0.9 / 8) ** 0.5)
    assert floored(0.02, 0.5, 8) == 0.02


def test_a_number_is_rounded_as_people_do() -> None:
    assert [signed(value, 1) for value in (4.55, -4.55, -0.04, 0.0, 4.549)] == ["+4.6", "-4.6", "+0.0", "+0.0", "+4.5"]


def test_the_number_of_questions_is_connors() -> None:
    # Connor (1987): p01 = 0.45, p10 = 0.05 take 23 pairs.
    assert needed(0.4, 0.5) == 23
    assert needed(-0.4, 0.5) == 23
    assert independent_discordance(0.5, 0.6) == pytest.approx(0.5)


@settings(deadline=None)
@given(st.integers(8, 100_000), st.floats(0.01, 0.9))
def test_what_can_be_told_takes_as_many_questions_as_there_are(n: int, discordance: float) -> None:
    assert needed(detectable(n, discordance) * 1.0001, discordance) <= n
    assert needed(detectable(n, discordance) * 0.999, discordance) >= n


def test_a_handful_of_questions_tells_nothing() -> None:
    assert detectable(2, 0.5) == 1.0


class _Made:
    domain = "qa"


class _Identifying(_Made):
    def identity(self, question: Question) -> tuple[str, frozenset[str]]:
        return question.question[0], frozenset()


class _Set:
    def __init__(self, benchmark: Component[Any], split: str, texts: list[str]) -> None:
        self.benchmark, self.split = benchmark, split
        self.questions = [Question(f"{split}-{text}", "b", "choice", "i", text, ("x", "y"), "A") for text in texts]


def test_test_questions_among_the_training_ones_are_counted() -> None:
    def part(name: str, made: Any) -> Component[Any]:
        return Component("benchmark", name, made, {"distribution": "d", "version": "1"})

    plain, other = part("plain", _Made()), part("other", _Identifying())
    sets: list[Any] = [
        _Set(plain, "train", ["How  far?", "one"]), _Set(plain, "train", ["two"]),
        _Set(plain, "test", ["how far?", "three", "Two"]), _Set(plain, "test", ["three"]),
        _Set(other, "train", ["abc"]), _Set(other, "test", ["axx", "bxx"]),
        _Set(part("tested only", _Made()), "test", ["one"]),
    ]  # fmt: skip
    assert duplicates(sets) == [
        {"benchmark": "plain", "n": 3, "in_train": 2},
        {"benchmark": "other", "n": 2, "in_train": 1},
    ]
