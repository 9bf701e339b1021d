"""The benchmark "letters": how many letters a word has, for words of three to nine letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sitkit.types import Json, Prompting, Question, Split

WORDS: dict[Split, str] = {
    "train": "cup map pear lamp stone river candle button kitchen blanket mountain shoulder adventure telephone",
    "test": "hat oak ship bell plant cloud window pencil journey weather umbrella triangle furniture crocodile",
}


def word(text: str) -> str:
    """Return the word a question or a whole prompt asks about."""
    found = re.search(r"in the word (\w+)\?", text)
    if found is None:
        raise ValueError(f"no word is asked about in {text!r}")
    return found[1]


def spelled(of: str, count: int) -> str:
    """Return a worked answer: the word letter by letter, then how many there are."""
    return f"{'-'.join(of)}. The answer is {count}"


class Letters:
    """Fourteen questions a split; the seed changes nothing."""

    domain = "words"

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return the words themselves."""
        return {"words": WORDS[split]}

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions in the order of the words."""
        return [
            Question(
                id=f"{split}-{each}",
                benchmark="letters",
                kind="number",
                instruction="Answer the following mathematical question with numerical solution.",
                question=f"How many letters are in the word {each}?",
                choices=None,
                target=str(len(each)),
            )
            for each in WORDS[split].split()
        ]

    def task(self, prompting: Prompting) -> str:
        """Return the name in tasks/*.yaml."""
        return f"letters_{prompting}"
