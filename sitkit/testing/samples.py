"""Sample questions, answers and candidates for the tests of plugins."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from sitkit.types import (
    Answers,
    Candidate,
    Demonstration,
    Kind,
    Question,
    SampledAnswer,
)

STUB = "sitkit-stub"
"""The name of the teacher, the student, the strategy and the benchmark that stand in for those a plugin lacks."""

BENCHMARK = "stub-sample"
"""The benchmark that sample questions are of."""

COUNT = 10
"""How many sample questions there are of a kind."""

_NEVER = "987654"


def questions(kind: Kind = "number", count: int = COUNT) -> list[Question]:
    """Return sample questions of a kind, of the benchmark `BENCHMARK`."""
    return [sample(kind, "sample", place) for place in range(count)]


def sample(kind: Kind, split: str, place: int) -> Question:
    """Return the sample question of a kind at a place; ``split`` begins its id."""
    first, second = 3 + place, 2 + 3 * place % 7
    total = first + second
    texts: dict[Kind, tuple[str, tuple[str, ...] | None, str]] = {
        "number": (f"What is {first} plus {second}?", None, str(total)),
        "choice": (f"What is {first} plus {second}?", (str(total + 1), str(total), str(total - 1)), "B"),
        "math": (f"What is the half of {first} plus {second}?", None, rf"\frac{{{total}}}{{2}}"),
    }
    text, choices, target = texts[kind]
    return Question(f"{split}-{kind}-{place}", BENCHMARK, kind, "Answer the question.", text, choices, target)


def right_answer(question: Question, opening: str = "") -> str:
    """Return an answer that is read as right."""
    shown = rf"$\boxed{{{question.target}}}$" if question.kind == "math" else question.target_text
    return f"{opening}The answer is {shown}"


def wrong_answer(question: Question, opening: str = "") -> str:
    """Return an answer that is read, and wrong."""
    if question.kind == "choice":
        return right_answer(replace(question, target="A" if question.target != "A" else "B"), opening)
    return right_answer(replace(question, target=_NEVER), opening)


def candidates(kind: Kind = "number") -> list[Candidate]:
    """Return a grid of candidates, one a question: the answer with the trigger and the one without, each right, wrong,
    empty or cut at the length limit, and a demonstration that is not there, right or wrong; two candidates whose
    answers are the same text; and one of several samples, right, wrong and cut.
    """
    states, shown = ("right", "wrong", "empty", "cut"), (None, True, False)
    grid = [*product(states, states, shown, (False,)), ("right", "right", True, True), ("wrong", "wrong", None, True)]
    found = []
    for place, (cot, direct, demonstrated, same) in enumerate(grid):
        question = sample(kind, "grid", place)
        worked = _state(question, cot, "Step by step. ")
        plain = worked if same else _state(question, direct, "")
        found.append(
            Candidate(
                question=question,
                answers=Answers(question.id, BENCHMARK, plain, worked, direct == "cut", cot == "cut"),
                demonstration=None if demonstrated is None else demonstration(question, right=demonstrated),
                direct_correct=direct == "right",
                cot_correct=cot == "right",
            )
        )
    return [*found, _of_several_samples(sample(kind, "grid", len(grid)))]


def _of_several_samples(question: Question) -> Candidate:
    states = ("wrong", "right", "cut", "right", "wrong")
    texts = [_state(question, state, f"Try {place}. ") for place, state in enumerate(states)]
    samples = [SampledAnswer("direct", texts[0], correct=False)]
    samples += [
        SampledAnswer("cot", text, correct=state == "right", truncated=state == "cut")
        for text, state in zip(texts, states, strict=True)
    ]
    answers = Answers(question.id, BENCHMARK, texts[0], texts[0])
    return Candidate(question, answers, None, direct_correct=False, cot_correct=False, samples=tuple(samples))


def _state(question: Question, state: str, opening: str) -> str:
    if state == "empty":
        return ""
    if state == "cut":
        return f"{opening}First we look at the question, and then"
    return (right_answer if state == "right" else wrong_answer)(question, opening)


def demonstration(question: Question, *, right: bool) -> Demonstration:
    """Return a demonstration that is right, or wrong."""
    text = (right_answer if right else wrong_answer)(question, "As a teacher would show it. ")
    return Demonstration(question.id, question.benchmark, question.prompt("cot"), text, STUB, right)
