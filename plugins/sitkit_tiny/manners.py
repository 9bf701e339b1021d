"""The three manners of answering a puzzle: direct, sketchy and careful.

A careful answer does one step at a time (and, with choices, judges them one by one, as in Table 6 of the paper); a
sketchy one states only some of the values on the way; a direct one states the answer alone. All three are right by
construction: a student errs in the last two because it has to do several steps at once.
"""

from __future__ import annotations

from sitkit_tiny.world import LETTERS, Arithmetic, Puzzle, Slip, Tracking

AT_ONCE = 2
"""How many steps a sketchy answer does at once."""


def direct(puzzle: Puzzle) -> str:
    """Return the answer alone, in one short sentence: ``It is 70.`` or ``It is C) red.``"""
    return conclude(puzzle, None)


def conclude(puzzle: Puzzle, slip: Slip | None) -> str:
    """Return the direct sentence for the outcome that is reached, with the slip if there is one."""
    return f"It is {_final(puzzle, worked_steps(puzzle, slip)[-1])}."


def sketchy(puzzle: Puzzle) -> str:
    """Return a worked answer that does two steps at once, stating only every second value, and judges no option."""
    values = worked_steps(puzzle)
    reached, told = str(puzzle.start), list[str]()
    for first in range(0, len(values), AT_ONCE):
        after = values[min(first + AT_ONCE, len(values)) - 1]
        if isinstance(puzzle, Arithmetic):
            done = ", ".join(f"{sign} {operand}" for sign, operand in puzzle.operations[first : first + AT_ONCE])
            told.append(f"{reached} {done} = {after}.")
        else:
            done = ", ".join(f"{one} and {other}" for one, other in puzzle.swaps[first : first + AT_ONCE])
            told.append(f"; {done}: {after}")
        reached = after
    said = " ".join(told) if isinstance(puzzle, Arithmetic) else f"{puzzle.start}{''.join(told)}."
    return f"So {said} The answer is {_final(puzzle, values[-1])}."


def careful(puzzle: Puzzle, slip: Slip | None = None) -> str:
    """Return a worked answer that does one step at a time; a slip makes it wrong on purpose and is carried through."""
    values = worked_steps(puzzle, slip)
    if isinstance(puzzle, Arithmetic):
        befores = (str(puzzle.start), *values)
        steps = zip(befores, puzzle.operations, values, strict=False)
        said = " ".join(f"{before} {sign} {operand} = {after}." for before, (sign, operand), after in steps)
        return f"First, {said} The answer is {values[-1]}."
    told = [f"{one} and {other}: {holder}" for (one, other), holder in zip(puzzle.swaps, values, strict=True)]
    last, judged = values[-1], list[str]()
    for letter, choice in zip(LETTERS, puzzle.choices, strict=True):
        judged.append(f"{letter}) {choice} = {last}? {'yes' if choice == last else 'no'}")
        if choice == last:
            break
    steps_told = "; ".join((puzzle.start, *told))
    return f"First, {steps_told}. {', '.join(judged)}. The answer is {_final(puzzle, last)}."


def worked_steps(puzzle: Puzzle, slip: Slip | None = None) -> tuple[str, ...]:
    """Return what is reached after each step, as text."""
    return tuple(str(value) for value in puzzle.values(slip))


def _final(puzzle: Puzzle, outcome: str) -> str:
    return f"{LETTERS[puzzle.choices.index(outcome)]}) {outcome}" if isinstance(puzzle, Tracking) else outcome
