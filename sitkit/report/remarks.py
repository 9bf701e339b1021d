"""What a reader must be told before believing a table: computed from the scores, said in plain sentences.

A fall is told where it is larger than its standard error over questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sitkit.report.summary import CellSummary, summarise
from sitkit.types import Json, Phase

_NEAR_ZERO = 0.1
_MANY_FAILURES = 0.05


def remarks(results: Json) -> list[str]:
    """Return the sentences, the gravest first; what the stages themselves reported comes last."""
    cells = summarise(results["scores"])
    return [
        *_near_zero(cells),
        *_falls(cells, "baseline", "instruct", "instruction-tuning lowered accuracy"),
        *_falls(cells, "instruct", "refine", "refining lowered accuracy"),
        *_unread(cells),
        *_pairs(results["pairs"]),
        *results.get("notices", ()),
    ]


def _near_zero(cells: Sequence[CellSummary]) -> list[str]:
    last = [cell for cell in cells if cell.phase == "refine"]
    if last and all(cell.value < _NEAR_ZERO for cell in last):
        best = max(cell.value for cell in last)
        return [
            f"accuracy is near zero everywhere (best {best:.1%} after refining): this student cannot do these tasks,"
            " and no difference between phases means anything here"
        ]
    names = sorted({cell.benchmark for cell in last if cell.prompting == "cot" and cell.value < _NEAR_ZERO})
    return [f"accuracy with the trigger is near zero after refining on: {', '.join(names)}"] if names else []


def _falls(cells: Sequence[CellSummary], before: Phase, after: Phase, what: str) -> list[str]:
    by_phase = {(cell.phase, cell.prompting, cell.benchmark): cell for cell in cells}
    found = []
    for (phase, prompting, benchmark), cell in by_phase.items():
        earlier = by_phase.get((before, prompting, benchmark))
        if (
            phase == after
            and earlier is not None
            and earlier.value - cell.value > math.hypot(cell.stderr, earlier.stderr)
        ):
            found.append(f"{benchmark}/{prompting} ({100 * (cell.value - earlier.value):+.1f})")
    return [f"{what} on: {', '.join(found)}"] if found else []


def _unread(cells: Sequence[CellSummary]) -> list[str]:
    found = [
        f"{cell.phase} {cell.benchmark}/{cell.prompting} {cell.extraction_failures:.0%}"
        for cell in cells
        if cell.extraction_failures > _MANY_FAILURES
    ]
    return [f"more than {_MANY_FAILURES:.0%} of the answers could not be read: {'; '.join(found)}"] if found else []


def _pairs(pairs: Json) -> list[str]:
    found = []
    if pairs["total"] and pairs["rejected_correct"]:
        share = pairs["rejected_correct"] / pairs["total"]
        found.append(
            f"in {share:.0%} of the pairs the rejected answer was right too ({pairs['rejected_correct']} of"
            f" {pairs['total']})"
        )
    return found
