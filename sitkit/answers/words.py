"""Numbers written as English words, "twelve" to "nine hundred ninety-nine thousand and one point five"."""

from __future__ import annotations

import re
from fractions import Fraction

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

_BELOW_1000 = rf"(?:{'|'.join(_UNITS[1:10])}|a) hundred(?: (?:and )?(?:{_BELOW_100}))?|{_BELOW_100}"

WORD_NUMBER = re.compile(
    rf"\b(?:(?P<thousands>{_BELOW_1000}|a) thousand(?:,? (?:and )?(?P<rest>{_BELOW_1000}))?|(?P<small>{_BELOW_1000}))"
    rf"(?: point (?P<places>(?:{_BELOW_100})(?: (?:{_BELOW_100})){{0,8}}))?\b",
    re.IGNORECASE,
)


def word_value(found: re.Match[str]) -> Fraction:
    """Return the value of a match of `WORD_NUMBER`; "point" is followed by digits, or by a number below 100."""
    value = Fraction(
        1000 * _below_1000(found["thousands"] or "zero") + _below_1000(found["small"] or found["rest"] or "zero")
    )
    if places := found["places"]:
        digits = "".join(str(_below_100(words)) for words in re.findall(_BELOW_100, places.lower()))
        value += Fraction(int(digits), 10 ** len(digits))
    return value


def _below_1000(words: str) -> int:
    hundreds, _, rest = words.lower().rpartition(" hundred")
    count = (1 if hundreds == "a" else _VALUES[hundreds]) if hundreds else 0
    rest = rest.strip().removeprefix("and ")
    return 100 * count + (1 if rest == "a" else _below_100(rest) if rest else 0)


def _below_100(words: str) -> int:
    return sum(_VALUES[word] for word in re.split(r"[- ]", words.lower()))
