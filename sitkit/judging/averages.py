"""From a judge's replies to what there is to tell: ratings, their means, their changes over the same questions."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

from sitkit.judging.answers import Item, JudgedAnswers
from sitkit.judging.prompt import holds_markup
from sitkit.judging.reading import read_rating
from sitkit.results.judgements import JUDGED, Failure, Judgement, Rating, RatingChange
from sitkit.types import PHASES, PROMPTINGS, TRUNCATED, Json, Phase, Reply

UNANSWERED = "left unanswered"
"""The outcome of an answer that the judge said nothing about, not even that it failed."""

_RATINGS = (1, 2, 3)


@dataclass(frozen=True)
class RatedItem:
    """An answer with what became of it: ``rating`` is None where there is none; ``failed``: there was no reply.

    ``tampered``: the answer itself holds a rating or a heading of the judge's prompt.
    """

    item: Item
    rating: int | None
    failed: bool
    tampered: bool


def rate(items: Sequence[Item], replies: Mapping[str, Reply]) -> list[RatedItem]:
    """Return each answer with its rating, where one can be read."""
    return [_rated(item, replies.get(item.prompt.id)) for item in items]


def _rated(item: Item, reply: Reply | None) -> RatedItem:
    failed = reply is None or reply.failed
    rating = None if reply is None or failed else read_rating(reply.completion, truncated=reply.outcome == TRUNCATED)
    return RatedItem(item, rating, failed, holds_markup(item.answer))


def mean_ratings(rated: Sequence[RatedItem]) -> list[Rating]:
    """Return a rating per party, phase, prompting and benchmark, and one for all benchmarks."""
    found = []
    for group in _groups(rated):
        of = group[0].item.of
        for benchmark, members in _by_benchmark(group):
            values = [float(one.rating) for one in members if one.rating is not None]
            found.append(
                Rating(
                    **vars(of.party),
                    phase=of.phase,
                    prompting=of.prompting,
                    benchmark=benchmark,
                    n=len(values),
                    mean=statistics.fmean(values) if values else None,
                    stderr=_stderr(values),
                    counts={rating: values.count(rating) for rating in _RATINGS},
                    unread=sum(one.rating is None and not one.failed for one in members),
                    failed=sum(one.failed for one in members),
                    tampered=sum(one.tampered for one in members),
                )
            )
    return found


def rating_changes(rated: Sequence[RatedItem]) -> list[RatingChange]:
    """Return, per pair of phases of one student and per benchmark and for all, the mean difference of the ratings."""
    groups, found = _groups(rated), list[RatingChange]()
    for prompting, earlier, later in product(PROMPTINGS, groups, groups):
        if later[0].item.of.prompting == prompting and _follows(later[0].item.of, earlier[0].item.of):
            found += _changes(earlier, later)
    return found


def _changes(earlier: Sequence[RatedItem], later: Sequence[RatedItem]) -> Iterator[RatingChange]:
    before = {_question(one): one.rating for one in earlier if one.rating is not None}
    of = later[0].item.of
    for benchmark, members in _by_benchmark(later):
        values = [
            float(one.rating - before[_question(one)])
            for one in members
            if one.rating is not None and _question(one) in before
        ]
        if values:
            mean, stderr = statistics.fmean(values), _stderr(values)
            half = None if stderr is None else _quantile(len(values) - 1) * stderr
            yield RatingChange(
                **vars(of.party),
                before=_phase(earlier[0].item.of),
                after=_phase(of),
                prompting=of.prompting,
                benchmark=benchmark,
                n=len(values),
                difference=mean,
                stderr=stderr,
                low=None if half is None else mean - half,
                high=None if half is None else mean + half,
            )


def _groups(rated: Sequence[RatedItem]) -> list[list[RatedItem]]:
    """The ratings of one party after one phase under one prompting, phases in order."""
    groups: dict[tuple[object, ...], list[RatedItem]] = {}
    for one in rated:
        of = one.item.of
        groups.setdefault((of.phase, of.prompting, of.party), []).append(one)
    return sorted(groups.values(), key=lambda group: JUDGED.index(group[0].item.of.phase))


def _by_benchmark(group: Sequence[RatedItem]) -> Iterator[tuple[str | None, list[RatedItem]]]:
    names = list(dict.fromkeys(one.item.of.benchmark for one in group))
    for name in names:
        yield name, [one for one in group if one.item.of.benchmark == name]
    yield None, list(group)


def _question(one: RatedItem) -> tuple[str, str]:
    return one.item.of.benchmark, one.item.question_id


def _phase(of: JudgedAnswers) -> Phase:
    return next(phase for phase in PHASES if phase == of.phase)


def _follows(later: JudgedAnswers, earlier: JudgedAnswers) -> bool:
    """Whether the one is the same student as the other, further on; a baseline is everybody's of its student."""
    if later.phase not in PHASES or later.prompting != earlier.prompting:
        return False
    if JUDGED.index(later.phase) <= JUDGED.index(earlier.phase):
        return False
    one, other = later.party, earlier.party
    if (one.student, one.seed) != (other.student, other.seed):
        return False
    # A student that was refined untaught has no training tasks, so that no instructed one precedes it.
    taught = (one.teacher, one.fraction, one.train_on) == (other.teacher, other.fraction, other.train_on)
    return earlier.phase == PHASES[0] or taught


def _stderr(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def outcomes(rated: Sequence[RatedItem], replies: Mapping[str, Reply]) -> dict[str, int]:
    """Return what became of the calls, in counts; a prompt counts once, however many gave the same answer to it."""
    prompts = dict.fromkeys(one.item.prompt.id for one in rated)
    counts = Counter(replies[name].outcome if name in replies else UNANSWERED for name in prompts)
    return dict(sorted(counts.items()))


def failures(rated: Sequence[RatedItem], replies: Mapping[str, Reply]) -> Iterator[Failure]:
    """Yield the answers without a reply."""
    for one in rated:
        if one.failed:
            reply, of = replies.get(one.item.prompt.id), one.item.of
            yield Failure(
                question_id=one.item.question_id,
                benchmark=of.benchmark,
                phase=of.phase,
                prompting=of.prompting,
                outcome=UNANSWERED if reply is None else reply.outcome,
                # Half a surrogate pair, which an endpoint may send, has no UTF-8.
                detail="" if reply is None else reply.detail.encode("utf-8", "backslashreplace").decode("utf-8"),
            )


def item_rows(rated: Sequence[RatedItem], replies: Mapping[str, Reply]) -> Iterator[dict[str, Json]]:
    """Yield what was judged and what the judge said of it, an answer a row."""
    for one in rated:
        reply, of = replies.get(one.item.prompt.id), one.item.of
        yield {
            "question_id": one.item.question_id,
            "benchmark": of.benchmark,
            "phase": of.phase,
            "prompting": of.prompting,
            **asdict(of.party),
            "question": one.item.question,
            "answer": one.item.answer,
            "rating": one.rating,
            "outcome": UNANSWERED if reply is None else reply.outcome,
            "reply": "" if reply is None else reply.completion,
            "tampered": one.tampered,
            "prompt_id": one.item.prompt.id,
        }


def notices(judgement: Judgement) -> list[str]:
    """Return what a reader must know before believing the ratings."""
    whole = [rating for rating in judgement.ratings if rating.benchmark is None]
    failed, unread = sum(one.failed for one in whole), sum(one.unread for one in whole)
    tampered, total = sum(one.tampered for one in whole), sum(one.n for one in whole) + unread + failed
    cut = judgement.outcomes.get(TRUNCATED)
    said = []
    if failed:
        reasons = ", ".join(
            f"{count} {name}" for name, count in judgement.outcomes.items() if name not in ("answered", TRUNCATED)
        )
        said.append(
            f"{failed} of {total} answers have no reply of the judge (calls: {reasons}); the same command tries them"
            " again"
        )
    if unread:
        said.append(f"{unread} of {total} answers have a reply in which no rating from 1 to 3 can be read")
    if cut:
        said.append(
            f"{cut} of {judgement.calls} replies were cut at {judgement.generation.max_new_tokens} tokens: raise"
            " --max-new-tokens"
        )
    if tampered:
        said.append(
            f"{tampered} of {total} answers contain a rating or a heading of the judge's prompt, which may"
            " sway a judge; they are marked in the items"
        )
    return said
