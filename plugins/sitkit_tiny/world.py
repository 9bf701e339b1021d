"""The embedded world: four benchmarks of generated questions, two of arithmetic and two of state tracking.

Every question is a function of (benchmark, split, index) and of nothing else: no global state, no file. Splits cannot
share a question text, because the checksum of the text decides which split a question may belong to; the texts that
the student was pretrained on are one more such split.

>>> item("tiny_shop", "test", 0).target
'39'
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

Operation: TypeAlias = tuple[Literal["+", "-", "x"], int]
"""One step of arithmetic: its sign and its second operand."""

SPLITS = ("train", "validation", "test", "pretraining")
BENCHMARKS = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")

NAMES = ("Mia", "Tom", "Zoe", "Sam", "Ivy", "Max", "Lea", "Paul", "Nora", "Hugo", "Ruth", "Omar")
PLACES = (
    "beach", "farm", "school", "market", "library", "station", "museum", "harbor", "garden", "bakery", "castle", "park",
)  # fmt: skip
THINGS = ("shells", "stamps", "apples", "coins", "cards", "beads", "eggs", "pens")
COLORS = ("red", "blue", "green", "pink", "gray", "black", "white", "brown")
FRIENDS = ("Ana", "Ben", "Cal", "Dee", "Eli", "Fay", "Gus", "Hal")
GIFTS = ("kite", "drum", "ball", "book", "cap", "lamp", "ring", "vase")

CHAIN_PHRASES = {"+": "add {}", "-": "subtract {}", "x": "multiply by {}"}
GAINS = ("buys", "finds", "wins")
LOSSES = ("sells", "loses", "drops")
MULTIPLES = {2: "doubles them", 3: "triples them"}

LETTERS = "ABCDE"


@dataclass(frozen=True)
class Slip:
    """A wrong step: its number (from 0) and by how much its outcome is off, in units or in places along the choices."""

    step: int
    off: int


@dataclass(frozen=True)
class Arithmetic:
    """A start value and the operations done to it one after the other; every value on the way lies in 0-99."""

    start: int
    operations: tuple[Operation, ...]

    def values(self, slip: Slip | None = None) -> tuple[int, ...]:
        """Return the value after each operation; a slip is carried through."""
        value, found = self.start, list[int]()
        for step, operation in enumerate(self.operations):
            value = apply(operation, value)
            if slip is not None and slip.step == step:
                value += slip.off
            found.append(value)
        return tuple(found)


@dataclass(frozen=True)
class Tracking:
    """A thing that starts at one of five holders, and the pairs of holders that change places one after the other."""

    start: str
    swaps: tuple[tuple[str, str], ...]
    choices: tuple[str, ...]

    def values(self, slip: Slip | None = None) -> tuple[str, ...]:
        """Return who holds the thing after each swap; a slip is carried through."""
        holder, found = self.start, list[str]()
        for step, swap in enumerate(self.swaps):
            holder = exchange(swap, holder)
            if slip is not None and slip.step == step:
                holder = self.choices[(self.choices.index(holder) + slip.off) % len(self.choices)]
            found.append(holder)
        return tuple(found)


Puzzle: TypeAlias = Arithmetic | Tracking


@dataclass(frozen=True)
class Item:
    """A generated question: its text, its choices (none for arithmetic), its target, and the puzzle underneath."""

    benchmark: str
    split: str
    index: int
    name: str
    place: str
    question: str
    choices: tuple[str, ...]
    target: str
    puzzle: Puzzle


def apply(operation: Operation, value: int) -> int:
    """Return the value after one operation."""
    sign, operand = operation
    if sign == "+":
        return value + operand
    return value - operand if sign == "-" else value * operand


def exchange(swap: tuple[str, str], holder: str) -> str:
    """Return who holds the thing after two holders changed places."""
    first, second = swap
    if holder == first:
        return second
    return first if holder == second else holder


def item(benchmark: str, split: str, index: int) -> Item:
    """Return the question at one place of one split.

    Raises KeyError for a benchmark and ValueError for a split that the world does not have.
    """
    bucket, make = SPLITS.index(split), _MAKERS[benchmark]
    rng = random.Random(f"{benchmark}/{split}/{index}")
    while True:
        name, place = rng.choice(NAMES), rng.choice(PLACES)
        question, choices, target, puzzle = make(rng, name, place)
        # The checksum gives every text to exactly one split, so that no two splits can share one.
        if zlib.crc32(question.encode()) % len(SPLITS) == bucket:
            return Item(benchmark, split, index, name, place, question, choices, target, puzzle)


_Made: TypeAlias = tuple[str, tuple[str, ...], str, Puzzle]


def _arithmetic(rng: random.Random) -> Arithmetic:
    start = rng.randint(2, 20)
    value, operations = start, list[Operation]()
    for _ in range(rng.randint(4, 6)):
        sign = rng.choice(("+", "-", "x"))
        # Turning the sign at the edges keeps every value in 0-99, where a number is one token of the student.
        if (sign == "+" and value > 60) or (sign == "x" and value > 20):
            sign = "-"
        elif sign == "-" and value < 4:
            sign = "+"
        operation: Operation
        if sign == "x":
            operation = ("x", rng.randint(2, 3))
        elif sign == "+":
            operation = ("+", rng.randint(2, 15))
        else:
            operation = ("-", rng.randint(1, min(15, value)))
        value = apply(operation, value)
        operations.append(operation)
    return Arithmetic(start, tuple(operations))


def _tracking(rng: random.Random, holders: tuple[str, ...]) -> Tracking:
    start = holder = rng.choice(holders)
    swaps = list[tuple[str, str]]()
    for _ in range(rng.randint(3, 5)):
        others = [one for one in holders if one != holder]
        # Three swaps in five move the thing: fewer would let a guess at the start go far.
        pair = [holder, rng.choice(others)] if rng.random() < 0.6 else rng.sample(others, 2)
        rng.shuffle(pair)
        swap = (pair[0], pair[1])
        holder = exchange(swap, holder)
        swaps.append(swap)
    return Tracking(start, tuple(swaps), holders)


def _chain(rng: random.Random, name: str, place: str) -> _Made:
    puzzle = _arithmetic(rng)
    steps = ", ".join(CHAIN_PHRASES[sign].format(operand) for sign, operand in puzzle.operations)
    text = f"At the {place}, {name} plays a number game: start with {puzzle.start}, {steps}. What is the result?"
    return text, (), str(puzzle.values()[-1]), puzzle


def _shop(rng: random.Random, name: str, place: str) -> _Made:
    puzzle, thing = _arithmetic(rng), rng.choice(THINGS)
    words = {"+": GAINS, "-": LOSSES}
    steps = ", ".join(
        MULTIPLES[operand] if sign == "x" else f"{rng.choice(words[sign])} {operand}"
        for sign, operand in puzzle.operations
    )
    text = f"At the {place}, {name} has {puzzle.start} {thing}. {name} {steps}. How many {thing} are left?"
    return text, (), str(puzzle.values()[-1]), puzzle


def _cups(rng: random.Random, name: str, place: str) -> _Made:
    puzzle = _tracking(rng, tuple(rng.sample(COLORS, 5)))
    steps = ", ".join(f"{one} and {other}" for one, other in puzzle.swaps)
    text = f"At the {place}, {name} hides a coin under the {puzzle.start} cup. {name} swaps {steps}. Where is the coin?"
    return text, puzzle.choices, _letter(puzzle), puzzle


def _gifts(rng: random.Random, name: str, place: str) -> _Made:
    holders = tuple(rng.sample(FRIENDS, 5))
    puzzle, gifts = _tracking(rng, holders), rng.sample(GIFTS, 5)
    asked = gifts[holders.index(puzzle.start)]
    given = [f"{holder} a {gift}" for holder, gift in zip(holders, gifts, strict=True)]
    rng.shuffle(given)
    steps = ", ".join(f"{one} and {other}" for one, other in puzzle.swaps)
    text = (
        f"At the {place}, {name} gives {', '.join(given[:-1])} and {given[-1]}. "
        f"They trade: {steps}. Who has the {asked}?"
    )
    return text, puzzle.choices, _letter(puzzle), puzzle


def _letter(puzzle: Tracking) -> str:
    return LETTERS[puzzle.choices.index(puzzle.values()[-1])]


_MAKERS = {"tiny_chain": _chain, "tiny_shop": _shop, "tiny_cups": _cups, "tiny_gifts": _gifts}
