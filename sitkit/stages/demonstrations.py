"""Which of the teacher's demonstrations are used: read from annotate's artifacts, kept by ``annotate.keep``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sitkit.rows import read_rows
from sitkit.stages.annotate import DEMONSTRATIONS
from sitkit.stages.base import Node, Work
from sitkit.types import Demonstration


def kept_demonstrations(
    work: Work, annotated: Iterable[Node], keep: Literal["right", "all"]
) -> tuple[list[Demonstration], int]:
    """Return the demonstrations kept, in order, and how many were dropped as wrong, empty or cut off."""
    rows = [row for one in annotated for row in read_rows(work.artifact(one).folder / DEMONSTRATIONS, Demonstration)]
    kept = [row for row in rows if row.completion and not row.truncated and (row.correct or keep == "all")]
    return kept, len(rows) - len(kept)
