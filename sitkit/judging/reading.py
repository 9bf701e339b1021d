"""How the rating is read out of a judge's reply.

A reply gives 1, 2 or 3, or nothing; reading one never raises and never guesses. Table 12 asks for ``Rating: [[2]]`` at
the end. Judges also write ``Rating: 2``, ``**Overall rating:** 2/3``, or the bare number as their last line; all these
are marks. Where every mark names the same number, that is the rating. Where they differ, a mark counts only if the
reply ends with it and it stands for itself (``Rating: [[2]]``, not ``[[1]] or [[2]]``). Anything that is no whole
number from 1 to 3 on a scale of 3 (``[[4]]``, ``2.5``, ``2/5``, ``2 or 3``) is a mark that rates nothing.
"""

from __future__ import annotations

import re

READER_VERSION = 1
"""Raised whenever the same reply would be read as another rating."""

_NUMBER = r"[-+−]?[0-9]+(?:[.,][0-9]+)?"
# Bounded, so that no reply, however odd, costs more than its length.
_MARKUP = r"[^\S\n]{0,8}[*_`\"“”']{0,8}[^\S\n]{0,8}"
_SCALE = rf"{_MARKUP}(?:/|out[ ]of)[ ]?[^\s.;)\]*_\"”]{{0,20}}"
_OTHERS = rf"{_MARKUP}(?:[-–—−~,]|to|or|and)[ ]?(?:{_NUMBER}|one\b|two\b|three\b)"
_LABEL = (
    rf"(?:\b(?:my|the|final|overall)[ ]){{0,3}}(?<!\w)rating{_MARKUP}(?:\([^()\n]{{0,20}}\){_MARKUP})?"
    rf"(?:(?::|=|is|of){_MARKUP})?"
)
_MARK = re.compile(
    rf"\[\[(?P<bracketed>[^\[\]\n]{{0,40}})\]\](?P<bracketed_scale>{_SCALE})?"
    rf"|(?:^|(?<=[.!?;)]\s)){_MARKUP}{_LABEL}\[?(?P<labelled>{_NUMBER})(?!\w|[.,][0-9]|[+%])\]?"
    rf"(?:(?P<others>{_OTHERS})|(?P<labelled_scale>{_SCALE}))?",
    re.IGNORECASE | re.MULTILINE,
)
_OF_THREE = re.compile(rf"{_MARKUP}(?:/|out[ ]of)[ ]?3", re.IGNORECASE)
_LAST_LINE = re.compile(
    rf"[\s*_`\"“'\[({{#-]*?(?P<number>{_NUMBER})(?P<scale>[ ]?(?:/|out[ ]of)[ ]?[0-9.]{{1,9}}?)?[\s*_`\"”'.!\])}}]*",
    re.IGNORECASE,
)
_STANDS_ALONE = re.compile(rf"(?:.*[.!?;)]\s)?{_MARKUP}(?:{_LABEL})?", re.IGNORECASE)
_ENDING = re.compile(r"[\W_]*\Z")
_EXAMPLE = re.compile(r"for example:?[^\S\n]{0,3}[\"“]?rating: \[\[2\]\][\"”]?", re.IGNORECASE)
_LABEL_BEFORE = re.compile(r"rating\s{0,3}[:=]?\s{0,3}\Z", re.IGNORECASE)
_WINDOW = 24
_QUOTES = {'"': '"', "“": "”", "«": "»"}


def read_rating(reply: str, *, truncated: bool = False) -> int | None:
    """Return the rating a reply gives, or None if it gives none that can be read.

    ``truncated``: the reply was cut at the length limit, so that what it happens to end with is not its last word.
    """
    # A model that repeats its instructions repeats their example, which rates nothing.
    text = _EXAMPLE.sub(" ", reply).strip()
    if not truncated:
        bare = _LAST_LINE.fullmatch(text, text.rfind("\n") + 1)
        if bare is not None:
            return _rating(bare["number"], bare["scale"])
    marks = [mark for mark in _MARK.finditer(text) if _names_a_number(mark)]
    final = bool(marks) and _ends(text, marks[-1])
    if truncated:
        marks = [mark for mark in marks if not _ends(text, mark)]
    # In quotation marks and not at the end it is somebody else's: a student's answer may rate itself.
    marks = [mark for mark in marks if _ends(text, mark) or not _quoted(text, mark)]
    values = {_value(mark) for mark in marks}
    if len(values) == 1:
        return values.pop()
    if final and not truncated and _stands_alone(text, marks[-1]):
        return _value(marks[-1])
    return None


def _names_a_number(mark: re.Match[str]) -> bool:
    return mark["bracketed"] is None or any(one.isdigit() for one in mark["bracketed"])


def _value(mark: re.Match[str]) -> int | None:
    if mark["bracketed"] is not None:
        return _rating(mark["bracketed"].strip(), mark["bracketed_scale"])
    return None if mark["others"] is not None else _rating(mark["labelled"], mark["labelled_scale"])


def _rating(number: str, scale: str | None) -> int | None:
    if scale is not None and _OF_THREE.fullmatch(scale) is None:
        return None
    return int(number) if number in ("1", "2", "3") else None


def _ends(text: str, mark: re.Match[str]) -> bool:
    return _ENDING.match(text, mark.end()) is not None


def _stands_alone(text: str, mark: re.Match[str]) -> bool:
    if mark["bracketed"] is None:
        return True
    return _STANDS_ALONE.fullmatch(text, text.rfind("\n", 0, mark.start()) + 1, mark.start()) is not None


def _quoted(text: str, mark: re.Match[str]) -> bool:
    before = text[max(0, mark.start() - _WINDOW) : mark.start()]
    before = _LABEL_BEFORE.sub("", before).rstrip()
    after = text[mark.end() : mark.end() + _WINDOW].lstrip()
    return bool(before) and bool(after) and after[0] == _QUOTES.get(before[-1])
