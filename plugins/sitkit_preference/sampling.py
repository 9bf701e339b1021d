"""Rules for several samples a question, as pure functions of one judged candidate.

All go by the answers to the CoT prompt: which are right, which are wrong. A cut answer is never right here, but may be
the wrong one of a pair. Texts that say the same count once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sitkit.answers import is_worked
from sitkit.types import LETTERS, Candidate, LeftOut, Origin, PreferencePair, Question, TrainingRow

_NUMBER = r"[-+]?\$?\d[\d,]*(?:\.\d+)?%?"
_EQUATION = re.compile(rf"{_NUMBER}(?:\s*[-+*/x×÷]\s*{_NUMBER})+\s*=\s*{_NUMBER}")

_EXPLAINING_WORDS = 5
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")
_STEP = re.compile(r"^[\s>*#-]*(?:step\s*)?\d{1,2}[.):](?=[\s*])", re.IGNORECASE | re.MULTILINE)
"""The number of a step of a list, which works nothing out."""

_SENTENCE_END = re.compile(r"[.!?][\"')\]]?(?=\s)|\n")
_AS_LETTER = (
    r"(?:(?<=[Oo]ption A)|(?<=[Cc]hoice A)|(?<=[Aa]nswer A)"
    r"|(?! (?!(?:is|was|would|seems|must|fits|because|since|as|and|or|but|for)\b)[a-z]))"
)
"""After an "A" that is no article."""


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
    worked out and explains: one that repeats the hint, however often, would teach to guess.
    """
    right = candidate.own("cot", correct=True)
    right = right or [
        one
        for one in candidate.own("cot", correct=True, hinted=True)
        if is_worked(one.text) and _explains(candidate.question, one.text)
    ]
    return [_row(candidate, right[0].text, "student") if right else _left_out(candidate, "no right answer")]


def _explains(question: Question, text: str) -> bool:
    """Tell whether a text says anything of how its question's target is reached, by a rough measure of form.

    Where the target is a number or a formula, a number that is not in it; for a choice, a sentence of five words or
    more that names neither its letter nor its text.
    """
    if question.kind != "choice":
        return bool(_numbers(_STEP.sub("", text)) - _numbers(question.target))
    named = _target_named(question)
    return any(len(one.split()) >= _EXPLAINING_WORDS and not named.search(one) for one in _SENTENCE_END.split(text))


def _numbers(text: str) -> set[float]:
    # By value and without a sign: 12.00 and -12 are no step on the way to 12.
    return {float(one.replace(",", "")) for one in _DIGITS.findall(text)}


def _target_named(question: Question) -> re.Pattern[str]:
    """Return what finds a choice's target in a sentence: its letter, but not as an article, or its text."""
    named = [rf"\b{question.target}\b{_AS_LETTER if question.target == 'A' else ''}", rf"\b{question.target.lower()}\)"]
    if question.choices is not None:
        option = question.choices[LETTERS.index(question.target)].strip(" .!?")
        named += [rf"(?i:(?<!\w){re.escape(option)}(?!\w))"] if option else []
    return re.compile("|".join(named))


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
