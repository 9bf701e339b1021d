"""Two phases on the same questions: McNemar's exact test and a paired bootstrap interval, and how many it takes.

Power is that of the exact test at 5% two-sided, computed and not approximated: with psi the share of questions on which
two phases differ and d the difference of their accuracies, (psi + d) / 2 of all questions are gained.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

from sitkit.results.model import PairedTest

POWER = 0.8
_LEVEL = 0.05
_STEPS = 1000
_MOST_QUESTIONS = 2**20
_RESAMPLES = 2000
_DRAWS_AT_ONCE = 1_000_000
_FLIPS = 9999
_ROUNDING = 1e-9

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


def sign_flips(seeds: Sequence[tuple[Correct, Correct]]) -> float:
    """Return the two-sided p-value of no difference over questions, given (earlier, later) for each seed.

    A question counts by the mean of its differences over seeds. Were there nothing between the two, each would as soon
    have the other sign (Fisher's randomisation test): of `_FLIPS` draws of the signs, and the differences as they are,
    the share that lie as far from 0. Where all that differ do so by as much, as with one seed, it is exact, and
    McNemar's test.
    """
    import numpy as np
    from scipy.stats import binomtest

    sums: dict[str, list[int]] = {}
    for before, after in seeds:
        for one in before.keys() & after.keys():
            sums.setdefault(one, []).append(after[one] - before[one])
    moved = np.array([value for one in sorted(sums) if (value := sum(sums[one]) / len(sums[one]))], dtype=float)
    if not len(moved):
        return 1.0
    if len(set(np.abs(moved))) == 1:
        return float(binomtest(int((moved > 0).sum()), len(moved)).pvalue)
    generator, as_far, rows = np.random.default_rng(0), 1, max(1, _DRAWS_AT_ONCE // len(moved))
    for first in range(0, _FLIPS, rows):
        signs = generator.integers(0, 2, size=(min(rows, _FLIPS - first), len(moved))) * 2 - 1
        as_far += int((np.abs(signs @ moved) >= abs(moved.sum()) - _ROUNDING).sum())
    return as_far / (_FLIPS + 1)


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


@functools.lru_cache(maxsize=4096)
def power(n: int, difference: float, discordance: float) -> float:
    """Return how often McNemar's exact test at 5% tells a difference (above 0) of n questions from none.

    Exact: over how many questions differ, and how many of these were gained, both binomial.
    """
    import numpy as np
    from scipy.stats import binom

    psi = max(discordance, difference)
    spread = 8 * math.sqrt(n * psi * (1 - psi)) + 8
    differing = np.arange(max(1, math.floor(n * psi - spread)), min(n, math.ceil(n * psi + spread)) + 1)
    # The test rejects where k or fewer of the differing questions lie on one side, k the largest with a tail of 2.5%.
    k = binom.ppf(_LEVEL / 2, differing, 0.5)
    k = np.where(binom.cdf(k, differing, 0.5) > _LEVEL / 2, k - 1, k)
    share = min(1.0, (psi + difference) / (2 * psi))
    told = binom.cdf(k, differing, share) + binom.sf(differing - k - 1, differing, share)
    return float(np.sum(binom.pmf(differing, n, psi) * np.where(k >= 0, told, 0.0)))


def detectable(n: int, discordance: float) -> float:
    """Return the smallest difference (0 to 1, to a tenth of a point) that n questions tell from none in 80% of all
    cases, by the exact test; 1 if they tell none.
    """
    low, high = 0, _STEPS
    if power(n, 1.0, 1.0) < POWER:
        return 1.0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(n, middle / _STEPS, _rounded(discordance)) >= POWER else (middle, high)
    return high / _STEPS


def needed(difference: float, discordance: float) -> int | None:
    """Return how many questions it takes to tell a difference (either sign, not 0) from none in 80% of all cases, by
    the exact test, to two digits; None if a million are too few.
    """
    size, psi = round(abs(difference), 4), _rounded(discordance)
    if not size:
        return None
    high = 8
    while power(high, size, psi) < POWER:
        high *= 2
        if high > _MOST_QUESTIONS:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, size, psi) >= POWER else (middle, high)
    return high


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values as Holm's step-down correction has them (Holm 1979, Scand. J. Statist. 6:65-70)."""
    order = sorted(range(len(p)), key=lambda index: p[index])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return corrected


def _rounded(discordance: float) -> float:
    # So that cells that hardly differ share what was computed.
    return round(discordance, 3)
