"""Questions that are trained on and scored with the same words in a row: contamination, as the field counts it.

The words are those of a question and its options, letters and digits alone, in lower case. 13 in a row, and leaving out
what stands in more than ten texts, are Brown et al.'s (2020, appendix C). A question of fewer words overlaps only with
one of exactly the same words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sitkit.types import Question

NGRAM = 13
"""How many words in a row make two questions overlap."""

_FORM = 10
"""What stands in more texts than these is how a set puts its questions, and tells nothing of any of them."""

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Overlap:
    """A scored question, the trained ones that share words with it, and the first words shared."""

    scored: Question
    trained: tuple[Question, ...]
    words: str


def overlaps(trained: Iterable[Question], scored: Iterable[Question], n: int = NGRAM) -> list[Overlap]:
    """Return every scored question that shares ``n`` words in a row, or all of its words, with trained ones."""
    texts = {(one.benchmark, one.id): (one, _words(one)) for one in trained}
    asked = [(one, _words(one)) for one in scored]
    distinct = {tuple(words) for _, words in (*texts.values(), *asked)}
    times = Counter(gram for words in distinct for gram in {*_ngrams(words, n)})
    index: dict[str, dict[tuple[str, str], Question]] = {}
    for place, (one, words) in texts.items():
        for gram in _grams(words, n, times):
            index.setdefault(gram, {})[place] = one
    found = []
    for one, words in asked:
        shared = [gram for gram in _grams(words, n, times) if gram in index]
        if shared:
            known = {place: other for gram in shared for place, other in index[gram].items()}
            found.append(Overlap(one, tuple(known.values()), shared[0]))
    return found


def _words(question: Question) -> list[str]:
    text = unicodedata.normalize("NFKC", " ".join((question.question, *(question.choices or ()))))
    return _WORD.findall(text.casefold())


def _ngrams(words: Sequence[str], n: int) -> Iterator[str]:
    return (" ".join(words[at : at + n]) for at in range(len(words) - n + 1))


def _grams(words: Sequence[str], n: int, times: Counter[str]) -> Iterator[str]:
    """What makes this text overlap with another: words in a row that are no set's form, and all of its words."""
    yield from (gram for gram in _ngrams(words, n) if times[gram] <= _FORM)
    yield " ".join(words)
