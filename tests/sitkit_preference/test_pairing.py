"""The paper's pairs, by hand for each case of its equations, and what holds for any candidates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import SpecError
from sitkit.spec import parse_spec
from sitkit.types import (
    Answers,
    Candidate,
    Context,
    Demonstration,
    LeftOut,
    Objective,
    PreferencePair,
    Question,
    Strategy,
    StrategyFactory,
)
from sitkit_preference import dpo_answer, dpo_cot, sft_chosen

FACTORIES: dict[str, StrategyFactory] = {"dpo-cot": dpo_cot, "dpo-answer": dpo_answer, "sft-chosen": sft_chosen}

KETTLE = Question(
    id="kettle-1",
    benchmark="kitchen",
    kind="choice",
    instruction="Choose the answer to the question only from options A, B.",
    question="What leaves a boiling kettle?",
    choices=("gravel", "steam"),
    target="B",
)
PLAIN_PROMPT = (
    "Choose the answer to the question only from options A, B.\n"
    "Question: What leaves a boiling kettle?\n"
    "Choices:\n"
    "A) gravel\n"
    "B) steam\n"
    "Answer:"
)
COT_PROMPT = PLAIN_PROMPT + " Let's think step by step"

APPLES = Question(
    id="apples-7",
    benchmark="market",
    kind="number",
    instruction="Answer the following mathematical question with numerical solution.",
    question="Three bags of four apples. How many apples?",
    choices=None,
    target="12",
)


def strategy(text: str) -> Strategy:
    spec = parse_spec(text)
    return FACTORIES[spec.name](spec, Context())


def candidate(
    question: Question = KETTLE,
    *,
    direct: str = "B) steam",
    cot: str = "Gravel stays. Steam leaves. The answer is B) steam",
    direct_correct: bool = True,
    cot_correct: bool = True,
    taught: str | None = "Water boils into steam. The answer is B) steam",
    taught_correct: bool = True,
) -> Candidate:
    demonstration = None
    if taught is not None:
        demonstration = Demonstration(
            question.id, question.benchmark, question.prompt("cot"), taught, "a teacher", taught_correct
        )
    return Candidate(
        question, Answers(question.id, question.benchmark, direct, cot), demonstration, direct_correct, cot_correct
    )


def only(name: str, one: Candidate) -> PreferencePair | LeftOut:
    (item,) = strategy(name).pairs([one])
    return item


@pytest.mark.parametrize("direct_correct", [True, False])
def test_dpo_cot_prefers_the_students_own_right_worked_answer(direct_correct: bool) -> None:
    item = only("dpo-cot", candidate(direct_correct=direct_correct))
    assert item == PreferencePair(
        question_id="kettle-1",
        benchmark="kitchen",
        prompt=COT_PROMPT,
        chosen="Gravel stays. Steam leaves. The answer is B) steam",
        rejected="B) steam",
        chosen_from="student",
        chosen_correct=True,
        rejected_correct=direct_correct,
    )


@pytest.mark.parametrize("taught_correct", [True, False])
def test_dpo_cot_takes_the_teachers_demonstration_where_the_student_was_wrong(taught_correct: bool) -> None:
    item = only(
        "dpo-cot",
        candidate(cot="The answer is A) gravel", cot_correct=False, taught_correct=taught_correct),
    )
    assert item == PreferencePair(
        question_id="kettle-1",
        benchmark="kitchen",
        prompt=COT_PROMPT,
        chosen="Water boils into steam. The answer is B) steam",
        rejected="B) steam",
        chosen_from="teacher",
        chosen_correct=taught_correct,
        rejected_correct=True,
    )


def test_dpo_cot_needs_a_demonstration_only_where_the_student_was_wrong() -> None:
    assert only("dpo-cot", candidate(cot_correct=False, taught=None)) == LeftOut(
        "kettle-1", "kitchen", "no demonstration"
    )
    assert isinstance(only("dpo-cot", candidate(cot_correct=True, taught=None)), PreferencePair)


@pytest.mark.parametrize("cot_correct", [True, False])
def test_dpo_answer_prefers_the_students_own_right_direct_answer(cot_correct: bool) -> None:
    item = only("dpo-answer", candidate(direct="It is B", cot_correct=cot_correct))
    assert item == PreferencePair(
        question_id="kettle-1",
        benchmark="kitchen",
        prompt=PLAIN_PROMPT,
        chosen="It is B",
        rejected="Gravel stays. Steam leaves. The answer is B) steam",
        chosen_from="student",
        chosen_correct=True,
        rejected_correct=cot_correct,
    )


def test_dpo_answer_takes_the_target_where_the_student_was_wrong() -> None:
    choice = only("dpo-answer", candidate(direct="A) gravel", direct_correct=False, taught=None))
    assert isinstance(choice, PreferencePair)
    assert (choice.prompt, choice.chosen, choice.chosen_from) == (PLAIN_PROMPT, "B) steam", "target")
    assert choice.chosen_correct

    number = only("dpo-answer", candidate(APPLES, direct="7", cot="3 * 4 = 12", direct_correct=False))
    assert isinstance(number, PreferencePair)
    assert (number.chosen, number.rejected, number.chosen_from) == ("12", "3 * 4 = 12", "target")


@pytest.mark.parametrize("name", FACTORIES)
def test_both_sides_alike_but_for_white_space_are_left_out(name: str) -> None:
    alike = candidate(direct="B) steam", cot=" B) steam\n")
    assert only(name, alike) == LeftOut("kettle-1", "kitchen", "same text")


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("side", ["direct", "cot"])
def test_an_empty_side_is_left_out(name: str, side: str) -> None:
    # The demonstration cannot stand in: the worked answer is the one the strategy was told is right.
    empty = candidate(**{side: " \n"})
    assert only(name, empty) == LeftOut("kettle-1", "kitchen", "empty answer")


def test_an_empty_demonstration_is_left_out() -> None:
    assert only("dpo-cot", candidate(cot_correct=False, taught="")) == LeftOut("kettle-1", "kitchen", "empty answer")


def test_objectives() -> None:
    assert strategy("dpo-cot").objective() == Objective(("sigmoid",), (1.0,), 0.1)
    assert strategy("dpo-answer").objective() == Objective(("sigmoid",), (1.0,), 0.1)
    assert strategy("sft-chosen").objective().loss == ("sft",)


def test_the_control_shares_dpo_cots_pairs_and_dpo_answer_does_not() -> None:
    dpo, control, answer = (strategy(name).fingerprint() for name in ("dpo-cot", "sft-chosen", "dpo-answer"))
    assert dpo == control != answer


@pytest.mark.parametrize("name", FACTORIES)
def test_argument_and_options_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match=f"'{name}' takes no argument, got 'x'"):
        strategy(f"{name}:x")
    with pytest.raises(SpecError, match=f"'{name}' takes no options, got beta=0.2"):
        strategy(f"{name},beta=0.2")


TEXTS = st.one_of(st.sampled_from(["", " ", "B) steam", "B) steam ", "The answer is B) steam"]), st.text(max_size=20))
CANDIDATES = st.builds(
    candidate,
    st.sampled_from([KETTLE, APPLES]),
    direct=TEXTS,
    cot=TEXTS,
    direct_correct=st.booleans(),
    cot_correct=st.booleans(),
    taught=st.none() | TEXTS,
    taught_correct=st.booleans(),
)


@pytest.mark.parametrize("name", FACTORIES)
@given(candidates=st.lists(CANDIDATES, max_size=6))
def test_any_candidates(name: str, candidates: list[Candidate]) -> None:
    items = list(strategy(name).pairs(candidates))
    assert [(item.question_id, item.benchmark) for item in items] == [
        (one.question.id, one.question.benchmark) for one in candidates
    ]
    for one, item in zip(candidates, items, strict=True):
        if isinstance(item, LeftOut):
            assert item.reason in {"no demonstration", "empty answer", "same text"}
            continue
        taught = one.demonstration.completion if one.demonstration else None
        own = {one.answers.direct: one.direct_correct, one.answers.cot: one.cot_correct}
        assert item.chosen.strip()
        assert item.rejected.strip()
        assert item.chosen.strip() != item.rejected.strip()
        assert item.rejected in own
        match item.chosen_from:
            case "student":
                assert item.chosen in own
                assert item.chosen_correct
            case "teacher":
                assert item.chosen == taught
                assert item.chosen_correct == one.demonstration.correct  # type: ignore[union-attr]
            case "target":
                assert item.chosen == one.question.target_text
                assert item.chosen_correct


@given(candidates=st.lists(CANDIDATES, max_size=6))
def test_the_control_chooses_exactly_the_pairs_of_dpo_cot(candidates: list[Candidate]) -> None:
    assert list(strategy("sft-chosen").pairs(candidates)) == list(strategy("dpo-cot").pairs(candidates))
