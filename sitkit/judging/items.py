"""Which answers are rated: the same questions for every phase, drawn by seed, each with the prompt the judge gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sitkit.judging.cells import Cell
from sitkit.judging.prompt import judge_prompt, question_text
from sitkit.types import Prompt, Question


@dataclass(frozen=True)
class Item:
    """One answer to rate."""

    cell: Cell
    question_id: str
    question: str
    answer: str
    prompt: Prompt


def draw(cells: Sequence[Cell], sample: int, seed: int) -> dict[str, list[str]]:
    """Return benchmark -> ids of the questions drawn: ``sample`` of those that every cell has an answer to, or all.

    A larger sample of the same seed holds the smaller one, so that it asks only for what is new. The order is that
    of the answers.
    """
    drawn = {}
    for benchmark in dict.fromkeys(cell.benchmark for cell in cells):
        answered = [cell.answers for cell in cells if cell.benchmark == benchmark]
        common = [one for one in answered[0] if all(one in others for others in answered[1:])]
        chosen = set(sorted(common, key=lambda one: _rank(seed, benchmark, one))[:sample])
        drawn[benchmark] = [one for one in common if one in chosen]
    return drawn


def make_items(
    cells: Iterable[Cell], drawn: Mapping[str, Sequence[str]], questions: Mapping[str, Mapping[str, Question]]
) -> Iterator[Item]:
    """Yield every answer to a question drawn, cell by cell."""
    for cell in cells:
        for question_id in drawn[cell.benchmark]:
            text, answer = question_text(questions[cell.benchmark][question_id]), cell.answers[question_id].strip()
            yield Item(cell, question_id, text, answer, judge_prompt(text, answer))


def _rank(seed: int, benchmark: str, question_id: str) -> bytes:
    return hashlib.sha256(f"judge|{seed}|{benchmark}|{question_id}".encode()).digest()
