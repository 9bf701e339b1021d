"""Two phases on the same questions: McNemar's exact test and a paired bootstrap interval, and how many it takes.

Power is that of McNemar's test at 5% two-sided (Connor 1987, Biometrics 43(1):207-211): with psi the share of questions
on which two phases differ and d the difference of their accuracies,
n = (z(0.975) sqrt(psi) + z(power) sqrt(psi - d^2))^2 / d^2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sitkit.results.model import PairedTest

POWER = 0.8
_LEVEL = 0.05
_SMALLEST = 1e-6
_RESAMPLES = 2000
_DRAWS_AT_ONCE = 1_000_000

Correct = Mapping[str, bool]
"""Whether each question, by id, was answered right."""


def mcnemar(before: Correct, after: Correct) -> tuple[int, int, float]:
    """Return how many questions were gained and lost, and the exact two-sided p-value; 1 where none changed."""
    from scipy.stats import binomtest

    shared = before.keys() & after.keys()
    gained = sum(after[one] and not before[one] for one in shared)
    lost = sum(before[one] and not after[one] for one in shared)
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return gained, lost, p


def compare(seeds: Sequence[tuple[Correct, Correct]]) -> PairedTest | None:
    """Compare two phases, given (earlier, later) for each seed, over the questions both answered.

    Returns None if there is no such question.
    """
    import numpy as np

    sums: dict[str, tuple[int, int, int]] = {}
    for before, after in seeds:
        for one in before.keys() & after.keys():
            was, now, times = sums.get(one, (0, 0, 0))
            sums[one] = (was + before[one], now + after[one], times + 1)
    if not sums:
        return None
    # Sorted, so that the interval does not depend on the order of a set.
    questions = np.array([sums[one] for one in sorted(sums)], dtype=float)
    earlier, later = questions[:, 0] / questions[:, 2], questions[:, 1] / questions[:, 2]
    low, high = _interval(earlier, later)
    tests = [mcnemar(before, after) for before, after in seeds if before.keys() & after.keys()]
    return PairedTest(
        n=len(sums),
        difference=float(np.mean(later - earlier)),
        low=low,
        high=high,
        gained=sum(gained for gained, _, _ in tests),
        lost=sum(lost for _, lost, _ in tests),
        p=tuple(p for _, _, p in tests),
        changes=tuple(gained - lost for gained, lost, _ in tests),
    )


def _interval(earlier: object, later: object) -> tuple[float | None, float | None]:
    import numpy as np
    from scipy.stats import bootstrap

    one, other = np.asarray(earlier), np.asarray(later)
    if len(one) < 2:
        return None, None

    def gain(before: object, after: object, axis: int = -1) -> object:
        return np.mean(np.asarray(after) - np.asarray(before), axis=axis)

    found = bootstrap(
        (one, other),
        gain,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=_RESAMPLES,
        batch=max(1, _DRAWS_AT_ONCE // len(one)),
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def independent_discordance(before: float, after: float) -> float:
    """Return the share of questions on which two phases of these accuracies differ if one says nothing of the other:
    more than is usual for phases of one student, so that needs err on the high side.
    """
    return before * (1 - after) + after * (1 - before)


def needed(difference: float, discordance: float, power: float = POWER) -> int:
    """Return how many questions it takes to tell ``difference`` (0 to 1, either sign, not 0) from none."""
    return math.ceil(_needed(abs(difference), discordance, power))


def detectable(n: int, discordance: float, power: float = POWER) -> float:
    """Return the smallest difference (0 to 1) that n questions tell from none with that power; 1 if they tell none."""
    from scipy.optimize import brentq

    def lacking(difference: float) -> float:
        return _needed(difference, discordance, power) - n

    return float(brentq(lacking, _SMALLEST, 1.0)) if lacking(1.0) < 0 else 1.0


def _needed(difference: float, discordance: float, power: float) -> float:
    from scipy.special import ndtri

    # Two phases differ on at least as many questions as their accuracies do.
    psi = max(discordance, difference)
    level, tail = float(ndtri(1 - _LEVEL / 2)), float(ndtri(power))
    return (level * math.sqrt(psi) + tail * math.sqrt(max(psi - difference**2, 0.0))) ** 2 / difference**2
