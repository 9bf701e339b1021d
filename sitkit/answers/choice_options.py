"""Finds the options' own texts in a text."""

from __future__ import annotations

import functools
import re

from sitkit.answers.number import canonical_number
from sitkit.answers.text import lower, plain_characters
from sitkit.types import LETTERS

_OWN_WORDS = ("answer", "option", "choice")
HIDDEN = "\x00"
_TEXT_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\s?\{([^{}\n]{0,200})\}")
_BLANKS = re.compile(r" {2,}")
_ANNOUNCES = re.compile(r"(?: is\b|:)")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([0-9]{1,9})\}\s?\{([0-9]{1,9})\}")


def plain_option(text: str) -> str:
    """Without emphasis and LaTeX's wrappers, and with single blanks: for texts and options alike."""
    if "\\" in text:
        text = _FRACTION.sub(r"\1/\2", _TEXT_WRAPPER.sub(r"\1", text))
    text = text.replace("*", "").replace("`", "").replace("\t", " ").strip()
    return _BLANKS.sub(" ", text) if "  " in text else text


def find_texts(text: str, options: tuple[tuple[str, int], ...]) -> tuple[str, str, list[tuple[int, int, int]]]:
    """Find the options' texts as whole words, longest first, and hide them: "water" is not found in "salt water".

    Return the text with them hidden, that in lower case, and (start, end, option) of each in order.
    """
    low, found = lower(text), list[tuple[int, int, int]]()
    for option, index in options:
        at = low.find(option)
        if at < 0:
            continue
        pieces, done = list[str](), 0
        while at >= 0:
            end = at + len(option)
            # An option may be the word "answer" itself, which mostly announces one.
            if _is_whole(low, at, end) and not (option in _OWN_WORDS and _ANNOUNCES.match(low, end)):
                found.append((at, end, index))
                pieces += [low[done:at], HIDDEN * len(option)]
                done = end
            at = low.find(option, end)
        if done:
            low = "".join([*pieces, low[done:]])
    if not found:
        return text, low, found
    found.sort()
    shown, done = list[str](), 0
    for start, end, _ in found:
        shown += [text[done:start], HIDDEN * (end - start)]
        done = end
    return "".join([*shown, text[done:]]), low, found


def _is_whole(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    if (before.isalnum() or after.isalnum()) and text[start].isalnum():
        return False
    if text[end - 1].isdigit() and after in (".", ",", "/") and text[end + 1 : end + 2].isdigit():
        return False
    return not (text[start].isdigit() and before in (".", ",", "/", "-"))


@functools.lru_cache(maxsize=4096)
def distinct_texts(choices: tuple[str, ...], target: str) -> tuple[tuple[str, int], ...]:
    """The options' texts to look for, longest first; of equal ones the target, as nothing else tells them apart."""
    texts: dict[str, int] = {}
    for index, choice in enumerate(choices):
        plain = " ".join(lower(plain_option(plain_characters(choice))).split()).strip(" .!?\"'")
        if (len(plain) > 1 or plain.isdigit()) and (plain not in texts or LETTERS[index : index + 1] == target):
            texts[plain] = index
    return tuple(sorted(texts.items(), key=lambda one: (-len(one[0]), one[1])))


@functools.lru_cache(maxsize=4096)
def values_of(choices: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return the options as canonical numbers; nothing where one is no number."""
    values = tuple(
        canonical_number(choice) if choice[-1:].isalnum() and len(choice) < 20 else None for choice in choices
    )
    return values if None not in values else ()
