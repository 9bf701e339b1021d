"""Two phases on the same questions: McNemar's exact test and a paired bootstrap interval, both by scipy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RESAMPLES = 2000
_DRAWS_AT_ONCE = 1_000_000

Correct = Mapping[str, bool]
"""Whether each question, by id, was answered right."""


@dataclass(frozen=True)
class Comparison:
    """The later phase minus the earlier one on the same questions; accuracies in 0..1.

    ``low`` and ``high`` bound the 95% percentile bootstrap interval of ``difference`` over questions: with several
    seeds a question counts once, by its mean over them, so that the interval does not pretend the seeds are new
    questions. ``gained`` and ``lost`` count the questions that went from wrong to right and from right to wrong, summed
    over seeds, and ``p`` holds the p-value of McNemar's exact test of each seed (the two-sided binomial test of gained
    against lost; McNemar 1947), in the order of the seeds, as ``changes`` holds gained less lost of each. ``n`` is the
    number of different questions.
    """

    n: int
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: tuple[float, ...]
    changes: tuple[int, ...]

    @property
    def certain(self) -> bool:
        """Whether the test rejects equality at 5% in every seed, always in the same direction as the difference."""
        alike = all(change * self.difference > 0 for change in self.changes)
        return bool(self.p) and max(self.p) < 0.05 and alike and (self.low > 0 or self.high < 0)


def mcnemar(before: Correct, after: Correct) -> tuple[int, int, float]:
    """Return how many questions were gained and lost, and the exact two-sided p-value; 1 where none changed."""
    from scipy.stats import binomtest

    shared = before.keys() & after.keys()
    gained = sum(after[one] and not before[one] for one in shared)
    lost = sum(before[one] and not after[one] for one in shared)
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return gained, lost, p


def compare(seeds: Sequence[tuple[Correct, Correct]]) -> Comparison | None:
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
    return Comparison(
        n=len(sums),
        difference=float(np.mean(later - earlier)),
        low=low,
        high=high,
        gained=sum(gained for gained, _, _ in tests),
        lost=sum(lost for _, lost, _ in tests),
        p=tuple(p for _, _, p in tests),
        changes=tuple(gained - lost for gained, lost, _ in tests),
    )


def _interval(earlier: object, later: object) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    one, other = np.asarray(earlier), np.asarray(later)
    if len(one) < 2:
        return float("-inf"), float("inf")

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
