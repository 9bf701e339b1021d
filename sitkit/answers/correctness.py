"""Read the final answer of a text and judge it."""

from __future__ import annotations

from typing import Literal

from sitkit.answers.choice import read_choice
from sitkit.answers.latex import read_latex, same_latex
from sitkit.answers.number import canonical_number, read_number
from sitkit.answers.text import SENTENCE_END, own_words
from sitkit.answers.thinking import without_thoughts
from sitkit.types import Question


def extract(question: Question, text: str) -> str | None:
    """Return the final answer ``text`` gives to ``question``, or None if it gives none.

    A letter for kind "choice", a canonical number ("1234.5", "-3", "1/3") for "number", LaTeX for "math". Never raises;
    takes time linear in the text.
    """
    if question.kind == "choice":
        return read_choice(question, own_words(question, text))
    if question.kind == "number":
        return read_number(own_words(question, text))
    return read_latex(own_words(question, text))


def is_correct(question: Question, text: str, match: Literal["final", "contains"] = "final") -> bool:
    """Tell whether ``text`` answers ``question`` rightly.

    "final" compares the final answer: by letter, by value, or for kind "math" by math-verify, which a time limit
    guards. "contains" is the paper's literal string match (section 3.3): the target, written as in the prompt's
    choices, occurs somewhere in the text.
    """
    if match == "contains":
        return question.target_text in without_thoughts(text)
    answer = extract(question, text)
    if answer is None:
        return False
    if question.kind == "choice":
        return answer == question.target
    if question.kind == "number":
        return answer == (canonical_number(question.target) or question.target)
    return same_latex(question.target, answer)


def is_worked(text: str) -> bool:
    """Tell whether a text has more than one sentence or line: a rough measure of a worked answer against a direct one.

    It looks at form alone, so two sentences without any reasoning count as worked.
    """
    stripped = text.strip()
    return "\n" in stripped or SENTENCE_END.search(stripped, 0, len(stripped) - 1) is not None
