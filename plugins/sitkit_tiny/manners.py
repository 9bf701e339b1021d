"""The three manners of answering a puzzle: direct, sketchy and careful.

A careful answer does one step at a time (and, with choices, judges them one by one, as in Table 6 of the paper); a
sketchy one states only some of the values on the way; a direct one states the answer alone. All three are right by
construction: a student errs in the last two because it has to do several steps at once.
"""

from __future__ import annotations

from sitkit_tiny.world import LETTERS, Arithmetic, Puzzle, Tracking, apply, exchange

SKETCHY_OPERATIONS = 2
"""How many operations a sketchy answer does at once."""
SKETCHY_SWAPS = 3
"""How many swaps a sketchy answer does at once."""


def direct(puzzle: Puzzle) -> str:
    """The answer alone, in one short sentence: ``It is 70.`` or ``It is C) red.``"""
    return f"It is {_final(puzzle, _outcome(puzzle))}."


def sketchy(puzzle: Puzzle) -> str:
    """A worked answer that does several steps at once and so states only some of the values on the way."""
    said = list[str]()
    if isinstance(puzzle, Arithmetic):
        value, values = puzzle.start, puzzle.values()
        for at in range(0, len(values), SKETCHY_OPERATIONS):
            chunk = puzzle.operations[at : at + SKETCHY_OPERATIONS]
            reached = values[at + len(chunk) - 1]
            done = " ".join(f"{sign} {operand}" for sign, operand in chunk)
            said.append(f"{value} {done} = {reached}.")
            value = reached
    else:
        holders = puzzle.holders()
        for at in range(0, len(holders), SKETCHY_SWAPS):
            last = min(at + SKETCHY_SWAPS, len(holders))
            said.append(f"after {last}: {holders[last - 1]}.")
    return f"So {' '.join(said)} The answer is {_final(puzzle, _outcome(puzzle))}."


def careful(puzzle: Puzzle, slips: dict[int, int] | None = None) -> str:
    """A worked answer that does one step at a time.

    ``slips`` makes it wrong on purpose: the number of a step (from 0) and by how much its outcome is off, in units for
    arithmetic and in places along the choices for tracking. A slip is carried through all later steps.
    """
    off = slips or {}
    if isinstance(puzzle, Arithmetic):
        said, value = list[str](), puzzle.start
        for at, operation in enumerate(puzzle.operations):
            reached = max(0, apply(operation, value) + off.get(at, 0))
            said.append(f"{value} {operation[0]} {operation[1]} = {reached}.")
            value = reached
        return f"First, {' '.join(said)} The answer is {value}."
    holder, told = puzzle.start, list[str]()
    for at, swap in enumerate(puzzle.swaps):
        holder = exchange(swap, holder)
        holder = puzzle.choices[(puzzle.choices.index(holder) + off.get(at, 0)) % len(puzzle.choices)]
        told.append(f"{swap[0]} and {swap[1]}: {holder}.")
    judged = list[str]()
    for letter, choice in zip(LETTERS, puzzle.choices, strict=True):
        judged.append(f"{letter}) {'yes' if choice == holder else 'no'}")
        if choice == holder:
            break
    return f"First, {puzzle.start}. {' '.join(told)} {', '.join(judged)}. The answer is {_final(puzzle, holder)}."


def _outcome(puzzle: Puzzle) -> str:
    return str(puzzle.values()[-1]) if isinstance(puzzle, Arithmetic) else puzzle.holders()[-1]


def _final(puzzle: Puzzle, outcome: str) -> str:
    if isinstance(puzzle, Tracking):
        return f"{LETTERS[puzzle.choices.index(outcome)]}) {outcome}"
    return outcome
