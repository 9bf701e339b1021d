"""Numbers written as English words, "twelve" to "nine hundred ninety-nine"."""

from __future__ import annotations

import re

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * at for at, word in enumerate(_TENS, 2)}
_BELOW_100 = rf"(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_UNITS[1:10])}))?|{'|'.join(reversed(_UNITS))}"

WORD_NUMBER = re.compile(
    rf"\b(?:(?P<hundreds>{'|'.join(_UNITS[1:10])}|a) hundred(?: (?:and )?(?P<and>{_BELOW_100}))?"
    rf"|(?P<small>{_BELOW_100}))\b",
    re.IGNORECASE,
)


def word_value(found: re.Match[str]) -> int:
    """Return the value of a match of `WORD_NUMBER`."""
    if small := found["small"]:
        return _below_100(small)
    hundreds = found["hundreds"].lower()
    return 100 * (1 if hundreds == "a" else _VALUES[hundreds]) + _below_100(found["and"] or "zero")


def _below_100(words: str) -> int:
    return sum(_VALUES[word] for word in re.split(r"[- ]", words.lower()))
