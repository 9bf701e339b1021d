"""Rules for several samples a question, as pure functions of one judged candidate.

All go by the answers to the CoT prompt: which are right, which are wrong. A cut answer is never right here, but may be
the wrong one of a pair. Texts that say the same count once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sitkit.answers import is_worked
from sitkit.types import Candidate, LeftOut, Origin, PreferencePair, TrainingRow

_NUMBER = r"[-+]?\$?\d[\d,]*(?:\.\d+)?%?"
_EQUATION = re.compile(rf"{_NUMBER}(?:\s*[-+*/x×÷]\s*{_NUMBER})+\s*=\s*{_NUMBER}")


def contrast(candidate: Candidate, most: int) -> Sequence[PreferencePair | LeftOut]:
    """Pair right with wrong CoT answers, each as often as the others as far as it goes, ``most`` pairs at most.

    The source draws the sides of each pair at random. Here the i-th pair has the i-th right and the i-th wrong answer,
    each list begun anew at its end, as long as the pair is a new one: as even, and the same whenever it is asked.
    """
    right = candidate.own("cot", correct=True)
    # The same words may be whole in one answer and cut, so not right, in another: no pair teaches that.
    said = {one.text.strip() for one in right}
    wrong = [one for one in candidate.own("cot", correct=False) if one.text.strip() not in said]
    if not right:
        return [_left_out(candidate, "no right answer")]
    if not wrong:
        return [_left_out(candidate, "no wrong answer")]
    question = candidate.question
    return [
        PreferencePair(
            question_id=question.id,
            benchmark=question.benchmark,
            prompt=question.prompt("cot"),
            chosen=right[index % len(right)].text,
            rejected=wrong[index % len(wrong)].text,
            chosen_from="student",
            chosen_correct=True,
            rejected_correct=False,
        )
        for index in range(min(most, math.lcm(len(right), len(wrong))))
    ]


def distinct_paths(candidate: Candidate) -> Sequence[TrainingRow | LeftOut]:
    """Learn the demonstration and every right CoT answer whose reasoning path none before it took."""
    rows: dict[object, TrainingRow] = {}
    demonstration = candidate.demonstration
    if demonstration is not None and demonstration.completion.strip():
        text = demonstration.completion
        rows[reasoning_path(text)] = _row(candidate, text, "teacher", correct=demonstration.correct)
    for one in candidate.own("cot", correct=True):
        rows.setdefault(reasoning_path(one.text), _row(candidate, one.text, "student"))
    return list(rows.values()) or [_left_out(candidate, "no right answer")]


def first_right(candidate: Candidate) -> Sequence[TrainingRow | LeftOut]:
    """Learn the student's first right CoT answer, else the right one it gave with the target as a hint, if that is
    worked out: one that repeats the hint would teach to guess.
    """
    right = candidate.own("cot", correct=True)
    right = right or [one for one in candidate.own("cot", correct=True, hinted=True) if is_worked(one.text)]
    return [_row(candidate, right[0].text, "student") if right else _left_out(candidate, "no right answer")]


def reasoning_path(text: str) -> tuple[str, ...]:
    """Return what two answers share that reason alike: the equations in their order, without blanks, signs of money and
    commas in numbers. Where there is none, as in answers to multiple choice, the words, whatever their case.
    """
    found = [re.sub(r"[\s,$]", "", equation) for equation in _EQUATION.findall(text)]
    return tuple(found or text.casefold().split())


def _row(candidate: Candidate, text: str, origin: Origin, *, correct: bool = True) -> TrainingRow:
    question = candidate.question
    return TrainingRow(
        question_id=question.id,
        benchmark=question.benchmark,
        prompt=question.prompt("cot"),
        chosen=text,
        chosen_from=origin,
        chosen_correct=correct,
    )


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.question.id, candidate.question.benchmark, reason)
