"""When differences bear a claim out, when they refute it, and when neither can be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sitkit_paper.differences import Group
from sitkit_paper.statements import Clause

Verdict = Literal["holds", "fails", "cannot be said"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "fails"
UNSAID: Verdict = "cannot be said"

_LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """What one group says of one part of a claim; ``above`` and ``below`` count the cells beyond their error."""

    part: Clause
    group: Group
    verdict: Verdict
    above: int
    below: int


def find(part: Clause, group: Group, *, printed: bool) -> Finding:
    """Try one part of a claim on one group. ``printed``: the figures are taken as they stand, without an error.

    Otherwise at 95%: a mean holds (fails) where its interval lies on the claimed (the other) side. A claim about
    every cell holds where each cell's interval does, and fails where one cell's lies on the other side, at a level
    divided by the number of cells (Bonferroni), as one of many is off by chance. Most cells: more than half hold, or
    at least half fail. Near: the interval lies within the tolerance, or outside it.
    """
    sign = -1 if part.below else 1
    z, strict = (0.0, 0.0) if printed else (_quantile(1), _quantile(len(group.differences)))
    scaled = [(sign * one.value, one.error) for one in group.differences]
    above = sum(value > z * error for value, error in scaled)
    below = sum(value < -z * error for value, error in scaled)
    refuting = sum(value < -strict * error for value, error in scaled)
    bearing = sum(value > strict * error for value, error in scaled)
    total = len(scaled)
    if part.rule == "every":
        verdict = _either(above == total, refuting > 0)
    elif part.rule == "most":
        verdict = _either(above > total / 2, below >= total / 2)
    elif part.rule == "some":
        verdict = _either(bearing > 0, below == total)
    else:
        mean = group.mean()
        margin = z * mean.error
        if part.rule == "near":
            distance = abs(mean.value - part.expected)
            verdict = _either(distance + margin <= part.tolerance, distance - margin > part.tolerance)
        else:
            verdict = _either(sign * mean.value > margin, sign * mean.value < -margin)
    if printed and verdict == UNSAID:
        verdict = FAILS
    counts = (above, below) if sign > 0 else (below, above)
    return Finding(part, group, verdict, *counts)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what several verdicts come to: one that fails refutes, and all must hold."""
    if not verdicts or (FAILS not in verdicts and UNSAID in verdicts):
        return UNSAID
    return FAILS if FAILS in verdicts else HOLDS


def _either(holds: bool, fails: bool) -> Verdict:
    if holds:
        return HOLDS
    return FAILS if fails else UNSAID


def _quantile(cells: int) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - _LEVEL / (2 * cells)))
