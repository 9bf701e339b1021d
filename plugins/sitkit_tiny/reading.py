"""Reading a puzzle back out of a question's text, which is all that a teacher gets to see."""

from __future__ import annotations

import re

from sitkit.types import Question
from sitkit_tiny.world import GAINS, LOSSES, MULTIPLES, Arithmetic, Operation, Puzzle, Tracking

_CHAIN = re.compile(r"start with (\d+), (.+)\. What is the result\?$")
_SHOP = re.compile(r" has (\d+) (\w+)\. \w+ (.+)\. How many \2 are left\?$")
_CUPS = re.compile(r"hides a coin under the (\w+) cup\. \w+ swaps (.+)\. Where is the coin\?$")
_GIFTS = re.compile(r" gives (.+)\. They trade: (.+)\. Who has the (\w+)\?$")

_MULTIPLIERS = {words: operand for operand, words in MULTIPLES.items()}
_SIGNS = {"add": "+", "subtract": "-"} | dict.fromkeys(GAINS, "+") | dict.fromkeys(LOSSES, "-")


def read_puzzle(question: Question) -> Puzzle | None:
    """Return the puzzle that the question's text and choices describe; None if it is not a question of this world."""
    if question.choices is None:
        told = _CHAIN.search(question.question)
        if told:
            return _arithmetic(told[1], told[2])
        told = _SHOP.search(question.question)
        return _arithmetic(told[1], told[3]) if told else None
    told = _CUPS.search(question.question)
    if told:
        return _tracking(told[1], told[2], question.choices)
    told = _GIFTS.search(question.question)
    if told is None:
        return None
    owner = re.search(rf"(\w+) a {told[3]}\b", told[1])
    return _tracking(owner[1], told[2], question.choices) if owner else None


def _arithmetic(start: str, steps: str) -> Arithmetic | None:
    operations = [_operation(step) for step in steps.split(", ")]
    read = tuple(operation for operation in operations if operation is not None)
    return Arithmetic(int(start), read) if len(read) == len(operations) else None


def _operation(step: str) -> Operation | None:
    if step in _MULTIPLIERS:
        return "x", _MULTIPLIERS[step]
    if told := re.fullmatch(r"multiply by (\d+)", step):
        return "x", int(told[1])
    told = re.fullmatch(r"(\w+) (\d+)", step)
    if told is None or told[1] not in _SIGNS:
        return None
    return ("+", int(told[2])) if _SIGNS[told[1]] == "+" else ("-", int(told[2]))


def _tracking(start: str, steps: str, choices: tuple[str, ...]) -> Tracking | None:
    swaps = list[tuple[str, str]]()
    for step in steps.split(", "):
        one, _, other = step.partition(" and ")
        if one not in choices or other not in choices:
            return None
        swaps.append((one, other))
    return Tracking(start, tuple(swaps), choices) if start in choices else None
