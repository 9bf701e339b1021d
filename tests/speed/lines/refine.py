"""Preference optimisation on ragged lengths, against stock DPOTrainer with precomputed reference log-probabilities."""

from __future__ import annotations

from pathlib import Path

from tests.speed import floors
from tests.speed.measure import Options, Row, in_turn, medians
from tests.speed.training import (
    RANK,
    Trained,
    furthest,
    instruct,
    instruct_settings,
    refine,
    refine_settings,
    stock_dpo,
)
from tests.speed.work import EMBEDDED, Work, embedded, made, micro, shapes


def measure(options: Options) -> list[Row]:
    """Train both works from an adapter."""
    rows = []
    if EMBEDDED in options.works:
        rows.append(_row(embedded(600), 32, 4 if options.quick else 24, options))
    for shape in shapes(options):
        work = made(64, shape, options)
        rows.append(_row(work, 16, 2 if options.quick else 4, options))
    return rows


def _row(work: Work, batch: int, steps: int, options: Options) -> Row:
    settings = refine_settings(batch, steps, micro(work))
    student = work.student(trains=True)
    start = options.folder / f"start-{work.name}"
    instruct(work, student, instruct_settings(batch, 2, micro(work)), start)
    curves: dict[str, Trained] = {}

    def ours() -> float:
        curves["sitkit"] = refine(work, student, start, settings)
        return curves["sitkit"].seconds

    def theirs() -> float:
        curves["peer"] = stock_dpo(work, start, settings)
        return curves["peer"].seconds

    in_turn(1, {"sitkit": ours, "peer": theirs})
    taken = in_turn(options.pairs, {"sitkit": ours, "peer": theirs})
    middle = medians(taken)
    pairs = batch * steps
    return Row(
        "refine",
        work.label,
        "pairs/s",
        pairs / middle["sitkit"],
        pairs / middle["peer"],
        goal=1.3,
        floor=pairs / _floor(work, student, start, batch, steps),
        higher=True,
        note=f"loss curves differ by at most {furthest(curves['sitkit'].losses, curves['peer'].losses):.1g};"
        " reference pass included",
        samples=taken,
    )


def _floor(work: Work, student: object, start: Path, batch: int, steps: int) -> float:
    tokenizer = student.models.tokenizer()  # type: ignore[attr-defined]
    lengths = []
    for one in work.pairs():
        prompt, chosen, rejected = (
            len(tokenizer(text)["input_ids"]) for text in (one.prompt, one.chosen, one.rejected)
        )
        lengths.append((prompt + chosen + rejected, chosen + rejected))
    lengths *= -(-batch * steps // len(lengths))
    batches = [lengths[first * batch : (first + 1) * batch] for first in range(steps)]
    return floors.training(student.models.for_training(), batches, RANK)  # type: ignore[attr-defined]
