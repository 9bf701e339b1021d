"""What all readers share: which part of a text is the model's own answer, and how it is divided."""

from __future__ import annotations

import re

from sitkit.types import Question

LONGEST = 100_000
"""Characters that are read: of a longer text, the first and the last half of this many."""

SENTENCE_END = re.compile(r"[.!?][\"')\]]?(?=\s)|\n")

REVISION = re.compile(
    r"\b(?:wait|actually|correction|on second thought|scratch that|sorry|i made an? (?:mistake|error)|let me re|"
    r"i was wrong|that is wrong|that's wrong|no[,:—]|hmm)",
    re.IGNORECASE,
)
"""After one of these, an answer given before may be taken back."""

REFUSAL = re.compile(
    r"\b(?:cannot|can't|can not|could not|couldn't|unable to|impossible to) (?:be )?"
    r"(?:answer|determine|tell|say|know|decide|choose|calculate|find|solve|provide|help)"
    r"|\b(?:not enough|insufficient|no) information|\bdo(?:n't| not) (?:know|have enough)|\bas an ai\b",
    re.IGNORECASE,
)

_NEXT_QUESTION = re.compile(r"(?:\n[ \t*#>]*|[.!?)] )(?:Question|Q)[ ]?[0-9]{0,3}[ *]{0,3}:")
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "−": "-", "–": "-", "‑": "-", "\xa0": " ", "\u202f": " "}
)


def own_words(question: Question, text: str) -> str:
    """Return the part of ``text`` that answers ``question``, with plain quotes, dashes and blanks.

    What follows an invented next question, or the instruction said again, is no part of the answer.
    """
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + "\n" + text[-LONGEST // 2 :]
    if not text.isascii():
        text = text.translate(_PLAIN)
    text = text.strip()
    if ":" in text and (found := _NEXT_QUESTION.search(text)):
        text = text[: found.start() + 1]
    if question.instruction and (again := text.find(question.instruction, 1)) > 0:
        text = text[:again]
    return text


def lower(text: str) -> str:
    """Lower case, character by character, so that positions stay the same."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
