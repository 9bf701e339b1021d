"""The world's four benchmarks, as sitkit asks for them.

A question of each kind, with its target:

    At the beach, Mia plays a number game: start with 19, multiply by 3, subtract 2, add 4, subtract 5.
    What is the result?                                                                              (54)
    At the farm, Sam hides a coin under the red cup. Sam swaps red and blue, blue and green, red and pink.
    Where is the coin?  A) pink  B) green  C) red  D) white  E) blue                                  (B)
"""

from __future__ import annotations

from collections.abc import Sequence

from sitkit.types import Json, Prompting, Question, Split
from sitkit_tiny.world import Item, item

SIZES = {"train": 300, "validation": 200, "test": 200}
"""Questions per split. "validation" served to choose settings; no number from it is ever reported."""

VERSION = 1
"""Raised whenever a question changes."""

MATH_INSTRUCTION = "Answer the following mathematical question with numerical solution."
QA_INSTRUCTION = "Choose the answer to the question only from options A, B, C, D, E."

DOMAINS = {"tiny_chain": "math", "tiny_shop": "math", "tiny_cups": "qa", "tiny_gifts": "qa"}


class TinyBenchmark:
    """One of the four benchmarks: questions made on the spot, the same for everybody and every seed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.domain = DOMAINS[name]

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return the version of the world; the seed changes no question."""
        return {"world": VERSION, "split": split}

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions of a split: 300 to train on, 200 to test on."""
        return questions(self.name, split)

    def task(self, prompting: Prompting) -> str:
        """Return the lm-eval task in tasks/ that scores the test split."""
        return f"sit_{self.name}_{prompting}"

    def default_teacher(self) -> str:
        """Return the scripted teacher, which knows these questions."""
        return "tiny"

    def scored_with(self) -> Sequence[str]:
        """Return all four: what is learnt on one may show on another."""
        return tuple(DOMAINS)


def questions(benchmark: str, split: str) -> list[Question]:
    """Return all questions of a split, "validation" included. Raises KeyError for an unknown benchmark or split."""
    return [as_question(item(benchmark, split, index)) for index in range(SIZES[split])]


def as_question(one: Item) -> Question:
    """Return a generated question in sitkit's own noun."""
    tracking = bool(one.choices)
    return Question(
        id=f"{one.benchmark}/{one.split}/{one.index}",
        benchmark=one.benchmark,
        kind="choice" if tracking else "number",
        instruction=QA_INSTRUCTION if tracking else MATH_INSTRUCTION,
        question=one.question,
        choices=one.choices if tracking else None,
        target=one.target,
    )
