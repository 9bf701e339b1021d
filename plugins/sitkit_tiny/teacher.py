"""The scripted teacher: careful step-by-step answers to the world's questions, some of them with a slip."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from sitkit.errors import TeacherError
from sitkit.types import Generation, Json, Prompting, Question
from sitkit_tiny.manners import careful, conclude, worked_steps
from sitkit_tiny.reading import read_puzzle
from sitkit_tiny.world import Arithmetic, Puzzle, Slip

SLIP_RATE = 0.12
"""Share of answers with one wrong step, so that filtering demonstrations has work to do."""

VERSION = 1
"""Raised whenever the same question would get another answer."""


class ScriptedTeacher:
    """Solves a question from its text, one step at a time; no model, no network.

    Which answers slip, and where, depends on the generation's seed and on the question's id alone.
    """

    def __init__(self, slip_rate: float = SLIP_RATE) -> None:
        self._slip_rate = slip_rate

    def fingerprint(self) -> Json:
        """Return the version of the script and its rate of slips."""
        return {"scripted": VERSION, "slip_rate": self._slip_rate}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield one answer per question. Raises `TeacherError` at a question that is not of this world."""
        for question in questions:
            puzzle = read_puzzle(question)
            if puzzle is None:
                raise TeacherError(
                    f"the tiny teacher answers tiny_* questions only, not {question.benchmark}'s {question.id}"
                )
            slip = self._slip(puzzle, f"{generation.seed}/{question.id}")
            yield question.id, careful(puzzle, slip) if prompting == "cot" else conclude(puzzle, slip)

    def close(self) -> None:
        """Nothing was loaded."""

    def _slip(self, puzzle: Puzzle, key: str) -> Slip | None:
        rng = random.Random(f"slip/{key}")
        if rng.random() >= self._slip_rate:
            return None
        steps = len(worked_steps(puzzle))
        offs = (-10, -2, -1, 1, 2, 10) if isinstance(puzzle, Arithmetic) else (1, 2, 3, 4)
        slips = [Slip(step, off) for step in range(steps) for off in offs]
        return rng.choice([slip for slip in slips if _stays_small(puzzle, slip)])


def _stays_small(puzzle: Puzzle, slip: Slip) -> bool:
    """Whether all values after the slip are still numbers that the world uses."""
    return not isinstance(puzzle, Arithmetic) or all(0 <= int(value) <= 99 for value in worked_steps(puzzle, slip))
