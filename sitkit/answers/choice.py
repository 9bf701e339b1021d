"""Reads the letter of the option a text chooses."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from sitkit.answers.choice_options import HIDDEN, distinct_texts, find_texts, plain_option, values_of
from sitkit.answers.number import read_number
from sitkit.answers.phrases import (
    AFTER_OR,
    AGREES,
    ANNOUNCED,
    BARE,
    CALLED_RIGHT,
    CONCLUDES,
    DENIAL,
    DENIED_AFTER,
    DENIED_BEFORE,
    DISAGREES,
    DOUBT,
    EXPLAINED,
    EXPLANATION,
    FORM_AFTER,
    FORM_BEFORE,
    GOES_ON,
    ITEM,
    ITEM_END,
    ITEM_START,
    JOIN,
    LAST_CONCLUDES,
    LETTER_STOP,
    LISTS,
    LOWER_ALONE,
    MARKER,
    MAY_DENY,
    NAME_BEFORE,
    NAMED,
    NONE_OF_THEM,
    OR,
    OR_DENIED,
    PARENTHESISED,
    PLACE,
    PLACES,
    QUICK,
    QUOTED,
    SAME,
    SEVERAL,
    THEREFORE,
    WORD_AFTER,
)
from sitkit.answers.text import REFUSAL, REVISION, SENTENCE_END, last_matches
from sitkit.types import LETTERS, Question

NO_OPTION = -1
"""Stands for a letter that no option has."""

_JOINED = 4
"""`JOIN` matches so many characters at most."""


class Mention(NamedTuple):
    """Where a text names an option: by its letter, its text, or both."""

    start: int
    end: int
    option: int
    lettered: bool = False
    denied: bool = False


def read_choice(question: Question, text: str) -> str | None:
    """Return the letter of the option that ``text`` chooses in the end, or None."""
    options = len(question.choices or ())
    tail = max(0, len(text) - 120)
    if (len(text) < 5 or text.find(" is ", tail) >= 0) and (quick := QUICK.search(text, tail)):
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
        self.text = plain_option(text)
        self._sentences: list[tuple[int, int]] | None = None
        self._conclusion: int | None = None
        self.masked, self.low, texts = find_texts(self.text, distinct_texts(self.choices, question.target))
        self.mentions = self._merge(self._letters(), texts)
        self.starts = [one.start for one in self.mentions]
        self.taken_back: set[int] = set()

    @property
    def sentences(self) -> list[tuple[int, int]]:
        """Where each sentence starts and ends."""
        if self._sentences is None:
            ends = [0, *[found.end() for found in SENTENCE_END.finditer(self.masked)], len(self.text)]
            self._sentences = list(pairwise(ends))
        return self._sentences

    @property
    def conclusion(self) -> int:
        """Where the last sentence starts if it concludes or is the only one; else where the text ends."""
        if self._conclusion is None:
            said = [(start, end) for start, end in self.sentences if self.masked[start:end].strip()]
            concludes = said and (len(said) == 1 or LAST_CONCLUDES.search(self.low, *said[-1]))
            self._conclusion = said[-1][0] if concludes else len(self.text)
        return self._conclusion

    def read(self) -> int | None:
        """Return the option chosen in the end, `NO_OPTION` for a letter that no option has, or None."""
        for mark in last_matches(MARKER, self.low):
            option, end = self._marked(mark)
            if option is None and end < 0:
                return None
            if option is None:
                continue
            option = self._revised(option, end)
            return None if option in self.taken_back else option
        opening, end = self._opening()
        if opening is not None:
            return self._revised(opening, end, concludes=True)
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
            return None, (-1 if self._states_several(mark, begin) else begin)
        if (several := SEVERAL.match(self.masked, begin)) and self._are_letters(several[0]):
            return None, -1
        _, end = self._sentence(begin)
        alone = LOWER_ALONE.match(self.masked, begin)
        if alone and LETTERS.index(alone[1].upper()) < len(self.choices):
            return LETTERS.index(alone[1].upper()), alone.end()
        doubted = DOUBT.search(self.masked, max(0, mark.start() - 40), mark.start()) is not None
        for one in self._among(max(0, begin - 1), end):
            if one.denied or doubted:
                self.taken_back.add(one.option)
            elif self._is_one_of_several(one):
                return None, -1
            else:
                return one.option, one.end
        capital = BARE.match(self.masked, begin)
        if capital and capital[1] not in "AI" and LETTERS.index(capital[1]) >= len(self.choices):
            return self._by_symbol(capital[1]), capital.end()
        if NONE_OF_THEM.search(self.masked, mark.start(), end):
            return None, -1
        return self._by_value(self.text[begin:end]), end

    def _opening(self) -> tuple[int | None, int]:
        """The option a text starts with in the form of an answer and then, if at all, explains; and where that ends."""
        if not self.mentions:
            return None, 0
        one = self.mentions[0]
        if one.start > 1 or one.denied or one.option == NO_OPTION or self._is_one_of_several(one):
            return None, 0
        if self._starts_bare_listing() or self._is_itemised():
            return None, 0
        for ending in (EXPLAINED.match(self.masked, one.end), LETTER_STOP.match(self.masked)):
            if ending and (one.lettered or "as" not in ending[0].split()):
                return one.option, ending.end()
        return None, 0

    def _starts_bare_listing(self) -> bool:
        """Whether the text starts with the first and the second option, each alone on its line."""
        if not self._starts_listing(0):
            return False
        one, other = self.mentions[:2]
        alone = other.end - other.start > 3 or ITEM_END.match(self.masked, other.end) is not None
        return not one.lettered or (alone and not EXPLANATION.search(self.masked, one.end, other.start))

    def _is_itemised(self) -> bool:
        """Whether the text starts with the first and the second option as items: "A. ice is hard. B. steam is hot."."""
        first = ITEM.match(self.masked)
        second = self.mentions[1] if len(self.mentions) > 1 else None
        if first is None or second is None or [self.mentions[0].option, second.option] != [0, 1]:
            return False
        return ITEM_START.match(self.masked, second.start) is not None and not EXPLANATION.search(
            self.masked, 0, second.start
        )

    def _revised(self, option: int, end: int, *, concludes: bool = False) -> int:
        """The option a text takes instead of one given before ``end``, in the form of an answer; else that one.

        ``concludes``: "So it is C" is reason enough, without a word such as "wait".
        """
        revision = REVISION.search(self.low, end)
        start = revision.end() if revision else len(self.text)
        for one in reversed(self._among(end, len(self.text)) if concludes else self._among(start, len(self.text))):
            if one.denied or one.option == NO_OPTION or not FORM_AFTER.match(self.low, one.end):
                continue
            before = self.low[max(end, one.start - 60) : one.start]
            if one.start >= start and FORM_BEFORE.search(before):
                return one.option
            if concludes and THEREFORE.search(before) and not self._is_one_of_several(one):
                return one.option
        return option

    def _states_several(self, mark: re.Match[str], begin: int) -> bool:
        """Whether a list after a marker is the answer, as in "the answer is (A), (B), and (C)".

        "The options are (A) ice and (B) steam" only lists, and so does a list that a further mention follows.
        """
        if not mark[0].endswith(("is", "are", ":")) or LISTS.search(mark[0]):
            return False
        _, end = self._sentence(begin)
        listed = self._among(max(0, begin - 1), end)
        return len(listed) > 1 and self._is_one_of_several(listed[0]) and self.starts[-1] < end

    def _are_letters(self, text: str) -> bool:
        """Whether all letters of a text that stand alone are options', and not all the same.

        "D) B" is one option where D's text is "B", boron.
        """
        letters = re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", text)
        options = [LETTERS.find(letter.upper()) for letter in letters]
        if not all(0 <= option < len(self.choices) for option in options):
            return False
        if not re.search(r"[,/&]|\b(?:and|or)\b", text) and letters[-1] == self.choices[options[0]].strip():
            return len(set(options)) > 2
        return len(set(options)) > 1

    def _is_one_of_several(self, one: Mention) -> bool:
        """Whether another option is given beside this one, as in "A or B"."""
        if len(self.mentions) < 2:
            return False
        at = bisect.bisect_left(self.starts, one.start)
        return (at + 1 < len(self.mentions) and self._joined(at)) or (at > 0 and self._joined(at - 1))

    def _joined(self, at: int) -> bool:
        one, other = self.mentions[at], self.mentions[at + 1]
        return (
            not (one.denied or other.denied or one.option == other.option)
            and other.start - one.end < 30
            and OR.fullmatch(self.low, one.end, other.start) is not None
            and AFTER_OR.match(self.low, other.end) is not None
        )

    def _states(self, one: Mention) -> bool:
        """Whether a mention can be an answer: an option's text can only as a sentence of its own or in a conclusion."""
        if one.lettered or one.option == NO_OPTION or values_of(self.choices):
            return True
        if one.start >= self.conclusion:
            return True
        start, end = self._sentence(one.start)
        return bool(SAME.match(self.masked, start, one.start) and SAME.match(self.masked, one.end, end))

    def _by_place(self) -> int | None:
        """The option named by its place, as "the second one"."""
        named = list(PLACE.finditer(self.low)) if len(self.low) < 80 else []
        if len(named) != 1 or DISAGREES.search(self.low):
            return None
        option = PLACES.index(named[0][1])
        return option if option < len(self.choices) else None

    def _unmarked(self) -> int | None:
        if (
            len(self.text) == 1
            and self.text in self.choices
            and LETTERS.find(self.text) not in range(len(self.choices))
        ):
            return self.choices.index(self.text)
        affirmed = {one.option for one in self.mentions if not one.denied and one.option != NO_OPTION}
        if len(affirmed) < 2:
            if affirmed:
                stated = any(self._states(one) for one in self.mentions if not one.denied)
                return affirmed.pop() if stated else None
            return NO_OPTION if self.mentions else self._or(self._by_value(self.text), self._by_place())
        for start, end in reversed(self.sentences):
            inside = [one for one in self._among(start, end) if not one.denied]
            if inside and CONCLUDES.search(self.low, start, end) and not self._is_one_of_several(inside[-1]):
                return inside[-1].option
        judged = self._judged()
        if judged is not None:
            return judged
        start, end = self._sentence(self.mentions[-1].start)
        last = {one.option for one in self._among(start, end) if not one.denied and self._states(one)}
        if len(last) == 1 and not self._listed(start) and not self._is_itemised():
            return last.pop()
        first = self.mentions[0]
        starts = first.start < 2 and first.lettered and not self._is_one_of_several(first)
        listed = self._starts_listing(0) or self._is_itemised()
        return first.option if starts and not listed else None

    def _judged(self) -> int | None:
        """The one option called right, where a text goes through the options one by one."""
        right = set[int]()
        ends = [one.start for one in self.mentions[1:]] + [len(self.text)]
        for one, end in zip(self.mentions, ends, strict=True):
            verdict = self.masked[one.end : end]
            if one.denied or self._is_one_of_several(one):
                continue
            if AGREES.search(verdict) and not DISAGREES.search(verdict):
                right.add(one.option)
        return right.pop() if len(right) == 1 else None

    @staticmethod
    def _or(one: int | None, other: int | None) -> int | None:
        return other if one is None else one

    def _last(self, start: int, end: int) -> int | None:
        inside = [one.option for one in self._among(start, end) if not one.denied]
        return inside[-1] if inside else None

    def _by_symbol(self, symbol: str) -> int:
        """The option whose text is this one letter, as "F" for farad; `NO_OPTION` if there is none."""
        return self.choices.index(symbol) if symbol in self.choices else NO_OPTION

    def _by_value(self, text: str) -> int | None:
        """The option that equals the number a text comes to, where all options are numbers."""
        values = values_of(self.choices)
        number = read_number(text) if values and len(text) < 1000 else None
        return values.index(number) if number is not None and values.count(number) == 1 else None

    def _among(self, start: int, end: int) -> list[Mention]:
        return self.mentions[bisect.bisect_left(self.starts, start) : bisect.bisect_left(self.starts, end)]

    def _sentence(self, at: int) -> tuple[int, int]:
        index = bisect.bisect_right(self.sentences, (at, len(self.text) + 1)) - 1
        return self.sentences[max(0, index)]

    def _listed(self, at: int) -> bool:
        """Whether the line is one of several that each start with an option's letter."""
        line = self.text.rfind("\n", 0, at + 1)
        if not ITEM.match(self.masked, max(0, line)):
            return False
        items = {LETTERS.find(item[1].upper()) for item in ITEM.finditer(self.masked)}
        return len([item for item in items if item < len(self.choices)]) > 1

    def _starts_listing(self, at: int) -> bool:
        """Whether the first two mentions from here are the first option's and then the second's, as in a list."""
        first = bisect.bisect_left(self.starts, at - 1)
        letters = self.mentions[first : first + 2]
        if len(letters) < 2 or letters[0].start > at + 1 or [one.option for one in letters] != [0, 1]:
            return False
        return (
            self.masked[letters[1].start - 1 : letters[1].end].find(")") >= 0
            or "\n" in self.masked[letters[0].end : letters[1].start]
        )

    def _letters(self) -> dict[int, tuple[int, int]]:
        """Where options are named by their letters: start -> (end, option)."""
        found: dict[int, tuple[int, int]] = {}
        options, low, masked = len(self.choices), self.low, self.masked
        if ")" in masked:
            for one in PARENTHESISED.finditer(masked):
                option = LETTERS.find(one[1].upper())
                found.setdefault(one.start(1), (one.end(), option if option < options else NO_OPTION))
        if "option" in low or "choice" in low or "letter" in low or "answer" in low:
            for one in NAMED.finditer(low):
                group = one.lastindex or 1
                option = LETTERS.find(one[group].upper())
                found.setdefault(one.start(group), (one.end(), option if option < options else NO_OPTION))
        for one in BARE.finditer(masked):
            letter, at = one[1], one.start()
            option = LETTERS.find(letter)
            if option < options and at not in found and not self._is_word(letter, at):
                found[at] = (one.end(), option)
        if "'" in masked and (quoted := list(QUOTED.finditer(masked))):
            for one in self._announced(quoted):
                if (option := LETTERS.find(one[1])) < options:
                    found.setdefault(one.start(1), (one.end(1), option))
        return found

    def _announced(self, quoted: list[re.Match[str]]) -> Iterator[re.Match[str]]:
        """Of letters in single quotes those that are announced or called right, and what follows one in its sentence.

        In running prose such a letter may be anything: "They wrote 'B' on the board."
        """
        announced = {found.end() for found in ANNOUNCED.finditer(self.low)}
        until = 0
        for one in quoted:
            if one.start() < until or one.start(1) in announced or CALLED_RIGHT.match(self.low, one.end()):
                _, until = self._sentence(one.start())
                yield one

    def _is_word(self, letter: str, at: int) -> bool:
        if letter == "I":
            return True
        if letter == "A" and (self.masked[at + 1 : at + 3] == f" {HIDDEN}" or WORD_AFTER.match(self.masked, at + 1)):
            return True
        return NAME_BEFORE.search(self.masked, max(0, at - 12), at) is not None

    def _merge(self, letters: dict[int, tuple[int, int]], texts: list[tuple[int, int, int]]) -> list[Mention]:
        """Join a letter and the option's text beside it, and mark what the words around deny."""
        merged: list[tuple[int, int, int, bool]] = []
        for start, end, option in sorted([(at, *named) for at, named in letters.items()] + texts):
            lettered = start in letters
            if merged:
                first, last, before, before_lettered = merged[-1]
                same = before == option
                if (
                    (same or not lettered)
                    and (same or first in letters)
                    and start - last <= _JOINED
                    and JOIN.fullmatch(self.masked, last, start)
                ):
                    merged[-1] = (first, end, before, before_lettered or lettered)
                    continue
            merged.append((start, end, option, lettered))
        if MAY_DENY.search(self.low) is None:
            return [Mention(*one) for one in merged]
        denials = [found.start() for found in DENIAL.finditer(self.low)]
        denied = [self._is_denied_before(one[0], denials) for one in merged]
        self._carry_over(denied, merged)
        for at, one in enumerate(merged):
            denied[at] = denied[at] or DENIED_AFTER.match(self.masked, one[1]) is not None
        return [Mention(*one, denied[at]) for at, one in enumerate(merged)]

    def _is_denied_before(self, start: int, denials: list[int]) -> bool:
        # Between a word that denies an option and the option there is no other such word.
        at = bisect.bisect_left(denials, start) - 1
        if at < 0 or denials[at] < start - 50:
            return False
        return DENIED_BEFORE.match(self.masked, denials[at], start) is not None

    def _carry_over(self, denied: list[bool], merged: list[tuple[int, int, int, bool]]) -> None:
        """Deny also what "or" or "nor" joins to a denied option, as B and D in "not A, B or D"."""
        first = 0  # of a list that a denied option starts
        listed = False
        for at in range(1, len(merged)):
            end, start = merged[at - 1][1], merged[at][0]
            joined = OR_DENIED.fullmatch(self.low, end, start) if start - end < 30 else None
            if joined is None:
                first, listed = at, False
            elif "or " not in joined[0]:
                listed = True
            elif denied[first] and not (listed and GOES_ON.match(self.low, merged[at][1])):
                denied[first : at + 1] = [True] * (at + 1 - first)
                first, listed = at, False
