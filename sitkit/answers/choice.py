"""Reads the letter of the option a text chooses."""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from sitkit.answers.number import canonical_number, read_number
from sitkit.answers.text import REFUSAL, REVISION, SENTENCE_END, last_matches, lower, plain_characters
from sitkit.types import LETTERS, Question

NO_OPTION = -1
"""Stands for a letter that no option has."""


class Mention(NamedTuple):
    """Where a text names an option: by its letter, its text, or both."""

    start: int
    end: int
    option: int
    denied: bool = False


_QUICK = re.compile(r"(?:\b(?:The answer is|It is) \(?([A-Z])(?:\)[^.()\n]{0,80})?|^\(?([A-Za-z])\)?)\.?$")
# These and what `sitkit.answers.text` looks for are searched in lower case: ignoring case costs five times as much. So
# does trying each way to begin at each place, which the letters that come first spare.
_MARKER = re.compile(
    r"(?=[\\#iwsracbfp])(?:(?P<boxed>\\boxed\s?\{)|(?P<hash>####)"
    r"|\b(?:is|would be|seems|remains) (?P<back>(?:clearly |therefore |thus |most likely |probably )?"
    r"(?:the |our |my )?(?:only |most |single )?(?:\w{1,12} )?"
    r"(?:correct|right|best|answer|choice|suitable|appropriate|likely|plausible|logical)\b)"
    r"|\b(?:(?<!to )answers?|(?:correct|best|right|final) (?:option|choice|one))\b"
    r"(?:[^.:\n]{0,60}?\b(?:is|be|was|are)\b|[^.:\n]{0,40}?:|\s*\n)"
    r"|\bi(?:'d| would| will|'ll)? (?:choose|pick|select|go with|say|conclude)\b"
    r"|\b(?:choose|pick|select) (?:option|choice|answer)\b)"
)
_CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|in conclusion|given|considering|overall|in summary|finally|leaves?|leaving|"
    r"consequently|based on)\b"
)
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\binstead of|\bneither|\bnor|\bexcept|\bunlike|\bthan|\brule[sd]? out|\beliminate[sd]?|\bover)"
    r"(?: (?:be|a|an|the|option|choice|answer|either|likely|just|simply))*[\s:(\"']*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\s)\"':,]*(?:(?:is|are|was|would be|seems) (?:clearly |also |definitely )?"
    r"(?:not\b|wrong|incorrect|false|irrelevant|unlikely|impossible|ruled out)"
    r"|isn't|aren't|wasn't|can't|cannot|won't|doesn't|does not|can be (?:ruled out|eliminated))",
    re.IGNORECASE,
)
_MAY_DENY = re.compile(
    r"not|n't|nor|instead|neither|except|unlike|than|rule|eliminat|over|wrong|incorrect|false|irrelevant|impossible"
)
"""Whatever denies an option holds one of these; looking for them once spares most texts two searches a mention."""

_AGREES = re.compile(r"\b(?:yes|correct|true|right)\b|✓|✔|✅", re.IGNORECASE)
_DISAGREES = re.compile(r"\b(?:no|not|incorrect|wrong|false|isn't|doesn't|cannot|can't)\b|✗|✘|❌", re.IGNORECASE)
_NONE_OF_THEM = re.compile(
    r"\bnone of (?:the|these|those)\b|\bneither of\b|\bno (?:correct|right) (?:answer|option)\b", re.I
)

# What a match starts with comes first, what must not stand before it after: so the engine skips to it, twice as fast.
_PARENTHESISED = re.compile(r"\)(?<=([A-Za-z])\))(?<![A-Za-z0-9'][A-Za-z]\))")
_NAMED = re.compile(r"\b(?:option|choice|letter|answer)s? ?:? ?[\"']?(?:([b-z])\b(?!')|(a)\b)")
_NAMES = ("option", "choice", "letter", "answer")
_BARE = re.compile(r"([A-Z])(?<![A-Za-z0-9'.&/-][A-Z])(?![A-Za-z0-9'&/-]|\.[A-Za-z])")
_WORD_AFTER = re.compile(r"[ ](?!(?:is|because|since|and|or|but|as|for|would|seems|was|not)\b)[a-z]")
_LOWER_ALONE = re.compile(r"[\s:*\"'{]*([a-z])(?=\s*(?:[.,;!}\"':]|$|\n))")
_TEXT_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\s?\{([^{}\n]{0,200})\}")
_BLANKS = re.compile(r" {2,}")
_ANNOUNCES = re.compile(r"(?: is\b|:)")
_ITEM = re.compile(r"(?:^|\n)[\s>*-]*\(?([A-Za-z])[).:](?=\s)")

_DOUBT = re.compile(r"(?:n't|not) (?:think|believe)(?: that)?(?: the)?(?: \w{1,10})? ?$", re.IGNORECASE)
_JOIN = re.compile(r"[ :)(\"',.=-]{0,4}")
_NAME_BEFORE = re.compile(
    r"\b(?:vitamin|plan|type|group|point|hepatitis|grade|class|person|team|step|part|room) $", re.I
)
_OWN_WORDS = ("answer", "option", "choice")
_HIDDEN = "\x00"


def read_choice(question: Question, text: str) -> str | None:
    """Return the letter of the option that ``text`` chooses in the end, or None."""
    options = len(question.choices or ())
    if quick := _QUICK.search(text, max(0, len(text) - 120)):
        letter = quick[1] or quick[2].upper()
        if LETTERS.index(letter) < options:
            return letter
    if len(text) > 1 and (alone := _equal_options(question, text)):
        return LETTERS[alone[0]]
    option = _Reader(question, text).read()
    return None if option is None or option == NO_OPTION else LETTERS[option]


def _equal_options(question: Question, text: str) -> list[int]:
    """The options whose text is all of ``text``; of equal ones the target first, as nothing tells them apart."""
    equal = [index for index, choice in enumerate(question.choices or ()) if choice == text]
    return sorted(equal, key=lambda index: LETTERS[index] != question.target)


class _Reader:
    """One text, with every mention of an option in it."""

    def __init__(self, question: Question, text: str) -> None:
        self.choices = question.choices or ()
        self.text = _plain(text)
        self.masked, texts = _find_texts(self.text, _distinct_texts(self.choices, question.target))
        self.low = lower(self.masked)
        self.mentions = self._merge(self._letters(), texts)
        self.taken_back: set[int] = set()

    @functools.cached_property
    def sentences(self) -> list[tuple[int, int]]:
        """Where each sentence starts and ends."""
        ends = [0, *(found.end() for found in SENTENCE_END.finditer(self.masked)), len(self.text)]
        return list(pairwise(ends))

    def read(self) -> int | None:
        """Return the option chosen in the end, `NO_OPTION` for a letter that no option has, or None."""
        for mark in last_matches(_MARKER, self.low):
            option, end = self._marked(mark)
            if option is None and end < 0:
                return None
            if option is None:
                continue
            if revision := REVISION.search(self.low, end):
                revised = self._last(revision.end(), len(self.text))
                option = option if revised is None else revised
            return None if option in self.taken_back else option
        if refusal := REFUSAL.search(self.low):
            but = re.compile(r"\b(?:but|however|so)\b", re.IGNORECASE).search(self.masked, refusal.end())
            return self._last(but.end(), len(self.text)) if but else None
        option = self._unmarked()
        return None if option in self.taken_back else option

    def _marked(self, mark: re.Match[str]) -> tuple[int | None, int]:
        """What a marker such as "the answer is" announces; an end below 0 says that it announces no option at all."""
        if mark["back"]:
            start, _ = self._sentence(mark.start())
            before = [one for one in self._among(start, mark.start()) if not one.denied]
            if before:
                return before[-1].option, mark.end()
        begin = mark.end()
        while begin < len(self.text) and self.text[begin] in " \n\t:=({[\"'$>":
            begin += 1
        if self._starts_listing(begin):
            return None, begin
        _, end = self._sentence(begin)
        alone = _LOWER_ALONE.match(self.masked, begin)
        if alone and LETTERS.index(alone[1].upper()) < len(self.choices):
            return LETTERS.index(alone[1].upper()), alone.end()
        doubted = _DOUBT.search(self.masked, max(0, mark.start() - 40), mark.start()) is not None
        for one in self._among(max(0, begin - 1), end):
            if one.denied or doubted:
                self.taken_back.add(one.option)
            else:
                return one.option, one.end
        capital = _BARE.match(self.masked, begin)
        if capital and capital[1] not in "AI" and LETTERS.index(capital[1]) >= len(self.choices):
            return self._by_symbol(capital[1]), capital.end()
        if _NONE_OF_THEM.search(self.masked, mark.start(), end):
            return None, -1
        return self._by_value(self.text[begin:end]), end

    def _unmarked(self) -> int | None:
        if (
            len(self.text) == 1
            and self.text in self.choices
            and LETTERS.find(self.text) not in range(len(self.choices))
        ):
            return self.choices.index(self.text)
        affirmed = {one.option for one in self.mentions if not one.denied and one.option != NO_OPTION}
        if len(affirmed) < 2:
            found = affirmed or ({NO_OPTION} if self.mentions else set())
            return found.pop() if found else self._by_value(self.text)
        for start, end in reversed(self.sentences):
            inside = [one for one in self._among(start, end) if not one.denied]
            if inside and _CONCLUDES.search(self.low, start, end):
                return inside[-1].option
        judged = self._judged()
        if judged is not None:
            return judged
        start, end = self._sentence(self.mentions[-1].start)
        last = {one.option for one in self._among(start, end) if not one.denied}
        if len(last) == 1 and not self._listed(start):
            return last.pop()
        first = self.mentions[0]
        return first.option if first.start < 2 and not self._starts_listing(0) else None

    def _judged(self) -> int | None:
        """The one option called right, where a text goes through the options one by one."""
        right = set[int]()
        ends = [one.start for one in self.mentions[1:]] + [len(self.text)]
        for one, end in zip(self.mentions, ends, strict=True):
            verdict = self.masked[one.end : end]
            if _AGREES.search(verdict) and not _DISAGREES.search(verdict) and not one.denied:
                right.add(one.option)
        return right.pop() if len(right) == 1 else None

    def _last(self, start: int, end: int) -> int | None:
        inside = [one.option for one in self._among(start, end) if not one.denied]
        return inside[-1] if inside else None

    def _by_symbol(self, symbol: str) -> int:
        """The option whose text is this one letter, as "F" for farad; `NO_OPTION` if there is none."""
        return self.choices.index(symbol) if symbol in self.choices else NO_OPTION

    def _by_value(self, text: str) -> int | None:
        """The option that equals the number a text comes to, where all options are numbers."""
        values = _values(self.choices)
        number = read_number(text) if values and len(text) < 1000 else None
        return values.index(number) if number is not None and values.count(number) == 1 else None

    def _among(self, start: int, end: int) -> list[Mention]:
        first = bisect.bisect_left(self.mentions, start, key=_start)
        return self.mentions[first : bisect.bisect_left(self.mentions, end, key=_start)]

    def _sentence(self, at: int) -> tuple[int, int]:
        index = bisect.bisect_right(self.sentences, (at, len(self.text) + 1)) - 1
        return self.sentences[max(0, index)]

    def _listed(self, at: int) -> bool:
        """Whether the line is one of several that each start with an option's letter."""
        line = self.text.rfind("\n", 0, at + 1)
        if not _ITEM.match(self.masked, max(0, line)):
            return False
        items = {LETTERS.find(item[1].upper()) for item in _ITEM.finditer(self.masked)}
        return len([item for item in items if item < len(self.choices)]) > 1

    def _starts_listing(self, at: int) -> bool:
        """Whether the first two mentions from here are the first option's and then the second's, as in a list."""
        first = bisect.bisect_left(self.mentions, at - 1, key=_start)
        letters = self.mentions[first : first + 2]
        if len(letters) < 2 or letters[0].start > at + 1 or [one.option for one in letters] != [0, 1]:
            return False
        return (
            self.masked[letters[1].start - 1 : letters[1].end].find(")") >= 0
            or "\n" in self.masked[letters[0].end : letters[1].start]
        )

    def _letters(self) -> list[tuple[int, int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for pattern, text in self._patterns():
            for one in pattern.finditer(text):
                group = one.lastindex or 1
                letter, at = one[group], one.start(group)
                option = LETTERS.find(letter.upper())
                valid = 0 <= option < len(self.choices)
                if pattern is _BARE and (not valid or self._is_word(letter, at)):
                    continue
                if at not in found:
                    found[at] = (one.end(), option if valid else NO_OPTION)
        return [(at, end, option) for at, (end, option) in sorted(found.items())]

    def _patterns(self) -> Iterator[tuple[re.Pattern[str], str]]:
        if ")" in self.masked:
            yield _PARENTHESISED, self.masked
        if any(name in self.low for name in _NAMES):
            yield _NAMED, self.low
        yield _BARE, self.masked

    def _is_word(self, letter: str, at: int) -> bool:
        if letter == "I":
            return True
        if letter == "A" and (self.masked[at + 1 : at + 3] == f" {_HIDDEN}" or _WORD_AFTER.match(self.masked, at + 1)):
            return True
        return _NAME_BEFORE.search(self.masked, max(0, at - 12), at) is not None

    def _merge(self, letters: list[tuple[int, int, int]], texts: list[tuple[int, int, int]]) -> list[Mention]:
        """Join a letter and the option's text beside it, and mark what the words around deny."""
        by_letter = {start for start, _, _ in letters}
        merged: list[Mention] = []
        for start, end, option in sorted(letters + texts):
            if merged and (start not in by_letter or merged[-1].option == option):
                before = merged[-1]
                joined = _JOIN.fullmatch(self.masked, before.end, start)
                if joined and (before.start in by_letter or before.option == option):
                    merged[-1] = before._replace(end=end)
                    continue
            merged.append(Mention(start, end, option))
        if _MAY_DENY.search(self.low) is None:
            return merged
        return [one._replace(denied=True) if self._is_denied(one) else one for one in merged]

    def _is_denied(self, one: Mention) -> bool:
        before = self.masked[max(0, one.start - 50) : one.start]
        return _DENIED_BEFORE.search(before) is not None or _DENIED_AFTER.match(self.masked, one.end) is not None


def _plain(text: str) -> str:
    """Without emphasis and LaTeX's wrappers, and with single blanks: for texts and options alike."""
    if "\\" in text:
        text = _TEXT_WRAPPER.sub(r"\1", text)
    text = text.replace("*", "").replace("`", "").replace("\t", " ").strip()
    return _BLANKS.sub(" ", text) if "  " in text else text


def _start(one: Mention) -> int:
    return one.start


def _find_texts(text: str, options: tuple[tuple[str, int], ...]) -> tuple[str, list[tuple[int, int, int]]]:
    """Find the options' texts as whole words, longest first, and hide them: "water" is not found in "salt water"."""
    low, found = lower(text), list[tuple[int, int, int]]()
    for option, index in options:
        at = low.find(option)
        pieces, done = list[str](), 0
        while at >= 0:
            end = at + len(option)
            # An option may be the word "answer" itself, which mostly announces one.
            if _is_whole(low, at, end) and not (option in _OWN_WORDS and _ANNOUNCES.match(low, end)):
                found.append((at, end, index))
                pieces += [low[done:at], _HIDDEN * len(option)]
                done = end
            at = low.find(option, end)
        low = "".join([*pieces, low[done:]])
    found.sort()
    shown, done = list[str](), 0
    for start, end, _ in found:
        shown += [text[done:start], _HIDDEN * (end - start)]
        done = end
    return "".join([*shown, text[done:]]), found


def _is_whole(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    if (before.isalnum() or after.isalnum()) and text[start].isalnum():
        return False
    if text[end - 1].isdigit() and after in (".", ",", "/") and text[end + 1 : end + 2].isdigit():
        return False
    return not (text[start].isdigit() and before in (".", ",", "/", "-"))


@functools.lru_cache(maxsize=4096)
def _distinct_texts(choices: tuple[str, ...], target: str) -> tuple[tuple[str, int], ...]:
    """The options' texts to look for, longest first; of equal ones the target, as nothing else tells them apart."""
    texts: dict[str, int] = {}
    for index, choice in enumerate(choices):
        plain = " ".join(lower(_plain(plain_characters(choice))).split()).strip(" .!?\"'")
        if (len(plain) > 1 or plain.isdigit()) and (plain not in texts or LETTERS[index : index + 1] == target):
            texts[plain] = index
    return tuple(sorted(texts.items(), key=lambda one: (-len(one[0]), one[1])))


@functools.lru_cache(maxsize=4096)
def _values(choices: tuple[str, ...]) -> tuple[str | None, ...]:
    values = tuple(
        canonical_number(choice) if choice[-1:].isalnum() and len(choice) < 20 else None for choice in choices
    )
    return values if None not in values else ()
