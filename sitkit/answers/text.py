"""What all readers share: which part of a text is the model's own answer, and how it is divided."""

from __future__ import annotations

import collections
import re

from sitkit.answers.thinking import without_thoughts
from sitkit.types import Question

LONGEST = 20_000
"""Characters that are read: of a longer text, the first and the last half of this many."""

MOST_MARKERS = 20
"""How many phrases such as "the answer is" are looked at, from the end."""

SENTENCE_END = re.compile(r"[.!?][\"')\]]?(?=\s)|\n")

REVISION = re.compile(
    r"\b(?:wait|actually|correction|on second thought|scratch that|sorry|i made an? (?:mistake|error)|let me re|"
    r"i was wrong|that is wrong|that's wrong|no[,:—]|hmm)"
)
"""After one of these, in lower case, an answer given before may be taken back."""

REFUSAL = re.compile(
    r"\b(?:cannot|can't|can not|could not|couldn't|unable to|impossible to) (?:be )?"
    r"(?:answer|determine|tell|say|know|decide|choose|calculate|find|solve|provide|help)"
    r"|\b(?:not enough|insufficient|no) information|\bdo(?:n't| not) (?:know|have enough)|\bas an ai\b"
)
"""Says, in lower case, that there is no answer."""

_REFUSAL_WORDS = ("not", "n't", "unable", "impossible", "information", "as an ai")
"""Each refusal holds one of these; looking for them first costs a tenth."""

_NEXT_QUESTION = re.compile(
    r"(?:\n[ \t*#>]*|[.!?)] )(?P<name>(?:Question|Q|Problem|Exercise|User|Human)(?:[ ]?[0-9]{1,3})?)[ *]{0,3}:"
)
_TURN_END = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id)\|>")
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "−": "-", "–": "-", "‑": "-", "\xa0": " ", "\u202f": " "}
)

_WIDE = "\xa0\u2009\u202f"
_WIDE_GROUPS = re.compile(
    rf"(?<![\w.,:/])(?<![0-9][ {_WIDE}])[1-9][0-9]{{0,2}}(?:[{_WIDE}][0-9]{{3}}){{1,19}}(?![\w/]|[ {_WIDE}][0-9])"
)
_WIDE_BLANK = re.compile(f"[{_WIDE}]")


def own_words(question: Question, text: str) -> str:
    """Return the part of ``text`` that answers ``question``, with plain quotes, dashes and blanks.

    What is thought aloud (`sitkit.answers.thinking`) is no part of the answer, nor what comes after the end of a turn,
    after an invented next question, or after the instruction said again.
    """
    text = without_thoughts(text)
    if "<|" in text and (over := _TURN_END.search(text, 1)):
        text = text[: over.start()]
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + "\n" + text[-LONGEST // 2 :]
    text = plain_characters(text if question.kind == "choice" else join_groups(text)).strip()
    if ":" in text:
        for found in _NEXT_QUESTION.finditer(text):
            if not _is_its_own(question, found["name"]):
                text = text[: found.start() + 1]
                break
    if question.instruction and (again := text.find(question.instruction, 1)) > 0:
        text = text[:again]
    return text


def _is_its_own(question: Question, name: str) -> bool:
    """Whether a question numbers its own parts in this way, or has an option of this name or with it in its text."""
    return (name[-1].isdigit() and "question" in question.question.lower()) or any(
        name == option.strip() or f"{name}:" in option for option in question.choices or ()
    )


def plain_characters(text: str) -> str:
    """Return the text with typographic quotes, dashes and blanks as their plain forms."""
    return text if text.isascii() else text.translate(_PLAIN)


def join_groups(text: str) -> str:
    """Return the text without no-break and thin blanks between a number's groups of three digits."""
    if text.isascii():
        return text
    return _WIDE_GROUPS.sub(lambda found: _WIDE_BLANK.sub("", found[0]), text)


def last_matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return the last matches of a pattern, the last one first; few, so that no text costs more than linear time."""
    return list(collections.deque(pattern.finditer(text), maxlen=MOST_MARKERS))[::-1]


def refuses(low: str) -> bool:
    """Tell whether a text, given in lower case, says that it gives no answer."""
    return any(word in low for word in _REFUSAL_WORDS) and REFUSAL.search(low) is not None


def lower(text: str) -> str:
    """Lower case, character by character, so that positions stay the same."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
