"""What plugins hand over, field by field: every wrong value is named, and what is right is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sitkit.conformance import (
    estimate_fault,
    objective_fault,
    pair_fault,
    question_fault,
    questions_fault,
    repeated_options,
    report_fault,
)
from sitkit.registry import load_plugins
from sitkit.types import (
    Answers,
    Candidate,
    Demonstration,
    Estimate,
    LeftOut,
    Objective,
    PreferencePair,
    Question,
    TrainingReport,
)

CHOICE = Question("c/0", "b", "choice", "Choose.", "Which?", ("red", "blue"), "B")
NUMBER = Question("n/0", "b", "number", "Count.", "How many?", None, "1,016")
MATH = Question("m/0", "b", "math", "Solve.", "What?", None, r"\left\{\frac{1}{2}\right.")


@pytest.mark.parametrize("question", [CHOICE, replace(NUMBER, target="-3/4"), replace(MATH, target=r"\{1, 2\}")])
def test_a_sound_question_has_no_fault(question: Question) -> None:
    assert question_fault(question, "b") is None


@pytest.mark.parametrize(
    ("question", "changes", "said"),
    [
        (CHOICE, {"id": 7}, "its id is 7"),
        (CHOICE, {"id": " "}, "its id is ' '"),
        (CHOICE, {"benchmark": "other"}, "names the benchmark 'other'"),
        (CHOICE, {"kind": "essay"}, "the kind 'essay' is not one of"),
        (CHOICE, {"question": ""}, "its question is ''"),
        (CHOICE, {"instruction": None}, "its instruction is None"),
        (CHOICE, {"choices": ("red", " ")}, "an option is not a text"),
        (CHOICE, {"choices": ("red",), "target": "A"}, "it has 1 options"),
        (CHOICE, {"choices": None}, "it has 0 options"),
        (CHOICE, {"target": "C"}, "the target 'C' is not the letter"),
        (CHOICE, {"target": 1}, "its target is 1"),
        (CHOICE, {"solution": 3}, "its solution is int"),
        (NUMBER, {"target": "twelve"}, "the target 'twelve' is not a number"),
        (NUMBER, {"target": "12 apples"}, "the target '12 apples' is not a number"),
        (MATH, {"target": r"\frac{1}{2"}, "its braces do not match"),
        (MATH, {"target": "}{"}, "its braces do not match"),
    ],
)
def test_a_wrong_field_of_a_question_is_named(question: Question, changes: dict[str, Any], said: str) -> None:
    assert said in (question_fault(replace(question, **changes), "b") or "")


def test_questions_are_named_by_place_and_ids_are_unique() -> None:
    assert questions_fault([CHOICE, NUMBER], "b") is None
    assert questions_fault([CHOICE, "x"], "b") == "questions (the 2. of its split): str in place of a Question"
    assert "the id is given twice" in (questions_fault([CHOICE, CHOICE], "b") or "")


def test_options_of_the_same_text_are_counted() -> None:
    assert repeated_options([CHOICE, NUMBER, replace(CHOICE, choices=("red", "red", "blue"))]) == 1


@pytest.mark.parametrize("name", ["tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts"])
def test_the_embedded_benchmarks_are_sound(name: str) -> None:
    made = load_plugins().benchmark(name)
    for split in ("train", "test"):
        assert questions_fault(made.questions(split, 0), name) is None


SHOWN = Demonstration("n/0", "b", NUMBER.prompt("cot"), "So it is 1016.", "t", correct=True)
CANDIDATE = Candidate(NUMBER, Answers("n/0", "b", "The answer is 5", "I count 1016."), SHOWN, False, True)
PAIR = PreferencePair("n/0", "b", NUMBER.prompt("cot"), "I count 1016.", "The answer is 5", "student", True, False)


@pytest.mark.parametrize(
    "pair",
    [
        PAIR,
        LeftOut("n/0", "b", "no demonstration"),
        replace(PAIR, chosen="So it is 1016.", chosen_from="teacher"),
        replace(PAIR, chosen="1,016", chosen_from="target"),
        replace(PAIR, rejected="The answer is 1016", rejected_correct=True),
    ],
)
def test_a_sound_pair_has_no_fault(pair: Any) -> None:
    assert pair_fault(pair, CANDIDATE) is None


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (LeftOut("n/0", "b", ""), "its reason is ''"),
        (LeftOut("n/0", "b", "x" * 300), "expected a few words"),
        (replace(PAIR, rejected="The answer is 1016"), "its rejected side is wrong, which it is not"),
        (replace(PAIR, rejected=None), "its rejected is None"),  # type: ignore[arg-type]
        (3, "int in place of a PreferencePair or a LeftOut"),
    ],
)
def test_a_wrong_pair_is_named(pair: Any, said: str) -> None:
    assert said in (pair_fault(pair, CANDIDATE) or "")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (TrainingReport(-1, {}), "its steps are -1"),
        (TrainingReport(1, {"loss": float("inf")}), "its metric 'loss' is inf"),
        (TrainingReport(1, {"loss": "low"}), "its metric 'loss' is 'low'"),  # type: ignore[dict-item]
        (TrainingReport(1, [1]), "its metrics are list"),  # type: ignore[arg-type]
        (TrainingReport(1, {}, log=[{"loss": "low"}]), "a row of its log is"),  # type: ignore[dict-item]
        (TrainingReport(1, {}, warnings="careful"), "its warnings are 'careful'"),
        (None, "NoneType in place of a TrainingReport"),
    ],
)
def test_a_wrong_report_of_a_training_is_named(report: Any, said: str) -> None:
    assert said in (report_fault(report) or "")
    assert report_fault(TrainingReport(1, {"loss": 0.5}, log=[{"step": 1, "loss": 0.5}], warnings=["x"])) is None


@pytest.mark.parametrize(
    "objective",
    [
        Objective(weights=("x",)),  # type: ignore[arg-type]
        Objective(loss="sigmoid"),  # type: ignore[arg-type]
        Objective(beta=True),
        Objective(loss=("sft", "sft"), weights=(1.0, 1.0)),
    ],
)
def test_a_wrong_objective_is_named(objective: Objective) -> None:
    assert "is not a valid objective" in (objective_fault(objective) or "")


@pytest.mark.parametrize(
    "estimate",
    [None, Estimate(-1, 0, 0, None), Estimate(1, 1, 1, float("nan")), Estimate(1, 1, 1.5, 0.0)],  # type: ignore[arg-type]
)
def test_a_wrong_estimate_is_named(estimate: Any) -> None:
    assert (estimate_fault(estimate) or "").startswith("gave ")
    assert estimate_fault(Estimate(1, 2, 3, 0.5)) is None
