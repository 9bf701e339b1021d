"""From the seeds' scores to cells: means, errors over questions and over seeds, what a change is made of, and what
several sampled answers to each question show.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sitkit.results.model import Cell, Sampled, SampledScore, SeedScore


def summarised(cell: Cell, seeds: Sequence[SeedScore]) -> Cell:
    """Return the cell with these seeds and every number that follows from them; there must be one seed at least."""
    values = [score.value for score in seeds]
    asked, worked = sum(score.n for score in seeds), sum(score.worked for score in seeds)
    right_worked = sum(score.worked_correct for score in seeds)
    truncated, finished_right = sum(score.truncated for score in seeds), sum(score.finished_correct for score in seeds)
    right = sum(round(score.value * score.n) for score in seeds)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return replace(
        cell,
        value=statistics.fmean(values),
        over_questions=statistics.fmean(standard_error(score.value, score.n) for score in seeds),
        over_seeds=None if deviation is None else deviation / math.sqrt(len(values)),
        deviation=deviation,
        n=seeds[0].n,
        unread=sum(score.unread for score in seeds) / asked if asked else 0.0,
        worked=worked / asked if asked else 0.0,
        worked_accuracy=right_worked / worked if worked else None,
        other_accuracy=(right - right_worked) / (asked - worked) if asked > worked else None,
        truncated=truncated / asked if asked else 0.0,
        finished_accuracy=finished_right / (asked - truncated) if asked > truncated else None,
        seeds=tuple(seeds),
        sampled=sampled_scores([score.sampled for score in seeds if score.sampled is not None]),
    )


def wilson(value: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of a share of n (Wilson 1927, JASA 22:209-212), by default at 95%.

    It never leaves 0..1 and has a width where none or all of n are right, which lm-eval's standard error has not.
    """
    if n <= 0:
        return 0.0, 1.0
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 0.0 if value <= 0 else centre - half, 1.0 if value >= 1 else centre + half


def standard_error(value: float, n: int) -> float:
    """Return the standard error of a share of n: half of Wilson's interval at one standard deviation, never 0."""
    low, high = wilson(value, n, z=1.0)
    return (high - low) / 2


def half_interval(values: Sequence[float]) -> float | None:
    """Return half the 95% t-interval of the mean, or None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    return float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))


def style_and_skill(before: SeedScore, after: SeedScore) -> tuple[float, float]:
    """Return what a change of accuracy is made of (see `sitkit.results.model.Change`); the two sum to it.

    Where a phase has no answer of a kind, the other phase's accuracy of that kind stands in: a change that cannot be
    seen is counted as style.
    """
    w0, a0, b0 = _mixture(before)
    w1, a1, b1 = _mixture(after)
    a0, a1 = (a0 if a0 is not None else a1), (a1 if a1 is not None else a0)
    b0, b1 = (b0 if b0 is not None else b1), (b1 if b1 is not None else b0)
    total = after.value - before.value
    if a0 is None or a1 is None or b0 is None or b1 is None:
        return 0.0, total
    style = (w1 - w0) * ((a0 - b0) + (a1 - b1)) / 2
    return style, total - style


def _mixture(score: SeedScore) -> tuple[float, float | None, float | None]:
    right = round(score.value * score.n)
    return (
        score.worked / score.n if score.n else 0.0,
        score.worked_correct / score.worked if score.worked else None,
        (right - score.worked_correct) / (score.n - score.worked) if score.n > score.worked else None,
    )


def pass_at_k(n: int, right: int, k: int) -> float:
    """Return the chance that one of k of n answers is right, ``right`` of which are; k is at most n.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, eq. 1), 1 - C(n - c, k) / C(n, k).
    """
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def sampled_scores(seeds: Sequence[Sampled]) -> tuple[SampledScore, ...]:
    """Return mean@n, pass@k for k = 2, 4, … and n, and the majority vote, over the seeds; none without seeds.

    Intervals are 95% over questions: Wilson's, of as many questions as would give the variance between them that there
    is (a mean of several answers varies less than a right or wrong one). With several seeds, whose questions are the
    same, it is that of one.
    """
    if not seeds:
        return ()
    n = seeds[0].samples
    found = [_score(f"mean@{n}", seeds, [right / n for right in range(n + 1)])]
    found += [_score(f"pass@{k}", seeds, [pass_at_k(n, right, k) for right in range(n + 1)]) for k in _ks(n)]
    questions = sum(seeds[0].right)
    majority = sum(seed.majority for seed in seeds) / (len(seeds) * questions)
    low, high = wilson(majority, questions)
    return (*found, SampledScore(name=f"majority@{n}", value=majority, low=low, high=high))


def _ks(n: int) -> Iterator[int]:
    k = 2
    while k < n:
        yield k
        k *= 2
    if n > 1:
        yield n


def _score(name: str, seeds: Sequence[Sampled], values: Sequence[float]) -> SampledScore:
    """``values[c]`` is what a question counts of whose answers c are right."""
    counts = [sum(column) for column in zip(*(seed.right for seed in seeds), strict=True)]
    asked, questions = sum(counts), sum(seeds[0].right)
    mean = sum(count * value for count, value in zip(counts, values, strict=True)) / asked
    variance = sum(count * (value - mean) ** 2 for count, value in zip(counts, values, strict=True)) / asked
    effective = questions * mean * (1 - mean) / variance if variance > 0 else questions
    low, high = wilson(mean, max(questions, round(effective)))
    return SampledScore(name=name, value=mean, low=low, high=high)
