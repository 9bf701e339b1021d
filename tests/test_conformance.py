"""What plugins hand over, field by field: every wrong value is named, and what is right is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.conformance import (
    MOST_FINGERPRINT,
    adapter_fault,
    claim_fault,
    completion_fault,
    domain_fault,
    estimate_fault,
    fingerprint_fault,
    objective_fault,
    pair_fault,
    question_fault,
    questions_fault,
    repeated_options,
    reply_fault,
    report_fault,
    tasks_fault,
)
from sitkit.registry import load_plugins
from sitkit.types import (
    Answers,
    Candidate,
    Completion,
    Demonstration,
    Estimate,
    LeftOut,
    Objective,
    PreferencePair,
    Question,
    Reply,
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
    assert (pair_fault(pair) or (isinstance(pair, PreferencePair) and claim_fault(pair, CANDIDATE))) in (None, False)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (LeftOut("n/0", "b", ""), "its reason is ''"),
        (LeftOut("n/0", "b", "x" * 300), "expected a few words"),
        (replace(PAIR, rejected="The answer is 1016"), "its rejected side is wrong, which it is not"),
        (replace(PAIR, rejected=None), "its rejected is None"),  # type: ignore[arg-type]
        (replace(PAIR, chosen=" "), "its chosen is ' '"),
        (replace(PAIR, chosen_from="somebody"), "its chosen_from is 'somebody'"),  # type: ignore[arg-type]
        (replace(PAIR, chosen_correct="yes"), "its chosen_correct is 'yes'"),  # type: ignore[arg-type]
        (replace(PAIR, chosen="It is 7", chosen_from="target"), "its chosen side is right, which it is not"),
        (3, "int in place of a PreferencePair, a TrainingRow or a LeftOut"),
    ],
)
def test_a_wrong_pair_is_named(pair: Any, said: str) -> None:
    assert said in (pair_fault(pair) or claim_fault(pair, CANDIDATE) or "")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (TrainingReport(-1, {}), "its steps are -1"),
        (TrainingReport(1, {"loss": float("inf")}), "its metric 'loss' is inf"),
        (TrainingReport(1, {"loss": "low"}), "its metric 'loss' is 'low'"),  # type: ignore[dict-item]
        (TrainingReport(1, [1]), "its metrics are list"),  # type: ignore[arg-type]
        (TrainingReport(1, {}, log="low"), "its log is str"),  # type: ignore[arg-type]
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
    assert objective_fault({"beta": 1}) == "objective gave dict in place of an Objective"


@pytest.mark.parametrize(
    "estimate",
    [
        None,
        Estimate(-1, 0, 0, None),
        Estimate(1, 1, 1, float("nan")),
        Estimate(1, 1, 1.5, 0.0),  # type: ignore[arg-type]
        Estimate(1, 1, 1, 0.0, 3),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_estimate_is_named(estimate: Any) -> None:
    assert (estimate_fault(estimate) or "").startswith("gave ")
    assert estimate_fault(Estimate(1, 2, 3, 0.5)) is None


def test_a_target_that_stands_among_other_words_is_right_where_the_strategy_took_it_for_the_chosen_side() -> None:
    wrapped = replace(PAIR, chosen="1,016 or 1,017", chosen_from="target")
    assert claim_fault(wrapped, replace(CANDIDATE, demonstration=None)) is None


def test_what_the_teacher_was_judged_by_is_not_judged_again() -> None:
    shown = replace(SHOWN, completion="So it is done.")
    assert claim_fault(replace(PAIR, chosen="So it is done."), replace(CANDIDATE, demonstration=shown)) is None
    assert claim_fault(replace(PAIR, chosen="So it is done."), CANDIDATE) is not None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (("n/0", None), "in place of (id, text) or a Reply"),
        (Reply("n/0", None), "its completion is NoneType"),  # type: ignore[arg-type]
        (Reply("n/0", "x", completion_tokens=-1), "whose completion_tokens is -1"),
        (Reply("n/0", "x", outcome=" "), "whose outcome is ' '"),
        (Reply("n/0", "x", outcome="x" * 300), "expected a few words"),
        (Reply("n/0", " "), "gave an empty answer to 'n/0'"),
    ],
)
def test_a_wrong_reply_is_named(reply: Any, said: str) -> None:
    assert said in (reply_fault(reply) or "")
    assert reply_fault(("n/0", "x")) is None
    assert reply_fault(Reply("n/0", "", outcome="empty reply")) is None


@pytest.mark.parametrize(
    "completion",
    [("a", 1), ("a", "b", True), None, Completion("a", None), Completion("a", "b", truncated="no")],  # type: ignore[arg-type]
)
def test_a_wrong_completion_is_named(completion: Any) -> None:
    assert "in place of a Completion or (id, text)" in (completion_fault(completion) or "")
    assert completion_fault(("a", "b")) is None
    assert completion_fault(Completion("a", "b", truncated=True)) is None
    assert completion_fault(Completion("a", "b", tokens=0)) is None


@pytest.mark.parametrize("tokens", [-1, 1.0, True, "3"])
def test_tokens_are_a_count(tokens: Any) -> None:
    assert f"'a' took {tokens!r} tokens" in (completion_fault(Completion("a", "b", tokens=tokens)) or "")


def test_a_benchmark_names_a_domain_and_a_task_for_each_prompting() -> None:
    assert domain_fault("words") is None
    assert "which is not a name" in (domain_fault(" ") or "")
    assert tasks_fault({"direct": "a", "cot": "b"}) is None
    assert "task gave None for cot" in (tasks_fault({"direct": "a", "cot": None}) or "")
    assert "the same name for every prompting" in (tasks_fault({"direct": "a", "cot": "a"}) or "")


def test_a_fingerprint_is_json_and_not_the_data_itself() -> None:
    assert fingerprint_fault({"version": 1}) is None
    assert "fingerprint failed with TypeError" in (fingerprint_fault({1, 2}) or "")
    assert "more than 1,000,000" in (fingerprint_fault("x" * MOST_FINGERPRINT) or "")


def test_a_student_leaves_something_where_it_was_told_to(tmp_path: Path) -> None:
    assert "left nothing" in (adapter_fault(tmp_path / "missing") or "")
    assert "left nothing" in (adapter_fault(tmp_path) or "")
    (tmp_path / "weights").touch()
    assert adapter_fault(tmp_path) is None
