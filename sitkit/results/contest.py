"""Strategies held against a control: on the same questions, by the same seeds, with what each took."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sitkit.results.accuracy import half_interval
from sitkit.results.model import Arm, Cell, Contender, Contest, Duel
from sitkit.results.rows import StoredRows
from sitkit.results.significance import Correct, compare, holm, sign_flips
from sitkit.types import PROMPTINGS, Json

CERTAIN = 0.05


def contest_of(
    control: str,
    arms: Sequence[Arm],
    cells: Sequence[Cell],
    infos: Mapping[str, Json],
    seconds: Mapping[str, float],
    stored: StoredRows,
) -> Contest:
    """Hold every strategy but the control against it, by accuracy with CoT; ``arms`` differ in strategy alone.

    ``infos`` are what stages tell and ``seconds`` what they took, by key.
    """
    by_strategy: dict[str, dict[str, Cell]] = {arm.strategy: {} for arm in arms}
    for cell in cells:
        if (cell.phase, cell.prompting) == ("refine", "cot"):
            by_strategy[cell.strategy][cell.benchmark] = cell
    others = [name for name in by_strategy if name != control]
    benchmarks = list(by_strategy[control])
    whole = [_duel(name, "", by_strategy[control], by_strategy[name], benchmarks, stored) for name in others]
    single = [
        _duel(name, benchmark, by_strategy[control], by_strategy[name], [benchmark], stored)
        for benchmark in benchmarks
        for name in others
    ]
    return Contest(
        control=control,
        contenders=contenders(arms, cells, infos, seconds),
        duels=(*_corrected(whole), *(_corrected(single) if len(benchmarks) > 1 else ())),
    )


def contenders(
    arms: Sequence[Arm], cells: Sequence[Cell], infos: Mapping[str, Json], seconds: Mapping[str, float]
) -> tuple[Contender, ...]:
    """Return what each strategy reached and what it took, summed over seeds and rounds: from the instructed student on,
    as if it were alone.
    """
    found = []
    for arm in arms:
        values = [
            cell.value
            for cell in cells
            if (cell.strategy, cell.phase, cell.prompting) == (arm.strategy, "refine", "cot")
        ]
        rounds = [one for lesson in arm.lessons for one in lesson.rounds]
        sampled = [infos[key] for one in rounds for key in one.sample]
        online = [infos[one.refine]["metrics"] for one in rounds if one.pair is None]
        stages = [key for one in rounds for key in one.keys]
        found.append(
            Contender(
                strategy=arm.strategy,
                accuracy=statistics.fmean(values) if values else 0.0,
                prompts=sum(
                    len(PROMPTINGS) * info["questions"] * info.get("samples", 1) + info.get("hinted", 0)
                    for info in sampled
                )
                + sum(infos[one.refine].get("completions", 0) for one in rounds),
                written=_total(
                    [
                        *(info.get("written") for info in sampled),
                        *(learnt.get("written") for learnt in online),
                    ]
                ),
                pairs=sum(infos[one.pair]["total"] for one in rounds if one.pair is not None),
                trained=_total([infos[one.refine]["metrics"].get("tokens") for one in rounds]),
                steps=sum(infos[one.refine]["steps"] for one in rounds),
                seconds=sum(seconds[key] for key in stages),
            )
        )
    return tuple(found)


def _total(counts: Sequence[float | None]) -> int | None:
    """Return the sum of counts; None if one was not taken: a part of it would look like less."""
    known = [count for count in counts if count is not None]
    return int(sum(known)) if len(known) == len(counts) else None


def _duel(
    strategy: str,
    benchmark: str,
    control: Mapping[str, Cell],
    other: Mapping[str, Cell],
    benchmarks: Sequence[str],
    stored: StoredRows,
) -> Duel:
    seeds = [score.seed for score in control[benchmarks[0]].seeds]
    pairs = [
        (dict(_answers(control, benchmarks, seed, stored)), dict(_answers(other, benchmarks, seed, stored)))
        for seed in seeds
    ]
    means = [
        statistics.fmean(_value(other[name], seed) - _value(control[name], seed) for name in benchmarks)
        for seed in seeds
    ]
    paired = compare(pairs)
    return Duel(
        strategy=strategy,
        benchmark=benchmark,
        difference=statistics.fmean(means),
        interval=half_interval(means),
        paired=paired,
        p=None if paired is None else sign_flips(pairs),
    )


def _answers(
    cells: Mapping[str, Cell], benchmarks: Sequence[str], seed: int, stored: StoredRows
) -> Iterator[tuple[str, bool]]:
    for benchmark in benchmarks:
        key = next(score.key for score in cells[benchmark].seeds if score.seed == seed)
        correct: Correct = stored.correct(key, "cot")
        yield from ((f"{benchmark}|{one}", right) for one, right in correct.items())


def _value(cell: Cell, seed: int) -> float:
    return next(score.value for score in cell.seeds if score.seed == seed)


def _corrected(duels: Sequence[Duel]) -> Iterator[Duel]:
    corrected = iter(holm([duel.p for duel in duels if duel.p is not None]))
    for duel in duels:
        yield duel if duel.p is None else replace(duel, holm=next(corrected))


def verdict(contest: Contest) -> str:
    """Return one sentence: which strategy is ahead, and whether that can be told from the control."""
    whole = {duel.strategy: duel for duel in contest.duels if not duel.benchmark}
    best = max(contest.contenders, key=lambda one: one.accuracy)
    reached = f"{100 * best.accuracy:.1f}% with CoT"
    behind = [name for name, duel in whole.items() if told(duel) and duel.difference < 0]
    if best.strategy == contest.control:
        others = f"{', '.join(behind)} told to be worse" if behind else "no other can be told from it"
        return f"The control {best.strategy} is ahead ({reached}); {others}."
    duel = whole[best.strategy]
    gain = f"{100 * duel.difference:+.1f} points{_errors(duel)}"
    if told(duel):
        return f"{best.strategy} won ({reached}): {gain} on the control {contest.control}, which is told from chance."
    return f"{best.strategy} is ahead ({reached}), but cannot be told from the control {contest.control}: {gain}."


def told(duel: Duel) -> bool:
    """Whether a difference is told from none: over questions, by the corrected test, and over seeds, if there are
    several, by their interval.
    """
    over_seeds = duel.interval is None or abs(duel.difference) > duel.interval
    return duel.holm is not None and duel.holm < CERTAIN and over_seeds


def _errors(duel: Duel) -> str:
    parts = []
    if duel.paired is not None and duel.paired.low is not None and duel.paired.high is not None:
        parts.append(f"95% over questions {100 * duel.paired.low:+.1f} to {100 * duel.paired.high:+.1f}")
    if duel.interval is not None:
        parts.append(f"± {100 * duel.interval:.1f} over seeds")
    if duel.holm is not None:
        parts.append(f"p {duel.holm:.2g} with Holm's correction")
    return f" ({', '.join(parts)})" if parts else ""
