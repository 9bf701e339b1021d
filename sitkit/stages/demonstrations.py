"""Which of the teacher's demonstrations are used: read from annotate's artifacts, kept by ``annotate.keep``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from sitkit.stages.annotate import DEMONSTRATIONS
from sitkit.stages.base import Node, Work
from sitkit.store.jsonl import read_rows
from sitkit.types import Demonstration

CUT_OFF = "cut off"
WRONG = "wrong"


def kept_demonstrations(
    work: Work, annotated: Iterable[Node], keep: Literal["right", "all"]
) -> tuple[list[Demonstration], Counter[str]]:
    """Return the demonstrations kept, in order, and why the others were dropped, counted: cut off, empty or wrong."""
    rows = [row for one in annotated for row in read_rows(work.artifact(one).folder / DEMONSTRATIONS, Demonstration)]
    kept, dropped = list[Demonstration](), Counter[str]()
    for row in rows:
        if row.truncated:
            dropped[CUT_OFF] += 1
        elif not row.completion:
            dropped["empty"] += 1
        elif not row.correct and keep == "right":
            dropped[WRONG] += 1
        else:
            kept.append(row)
    return kept, dropped
