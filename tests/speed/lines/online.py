"""Learning from one's own answers, by a reward and by a teacher, against TRL's trainers, which write by `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.speed.measure import Options, Row, in_turn, medians
from tests.speed.training import (
    Online,
    explore_settings,
    instruct,
    instruct_settings,
    online,
    stock_online,
)
from tests.speed.work import EMBEDDED, SMOL, Work, embedded, made, micro, shapes

KINDS = ("grpo", "gkd")


def measure(options: Options) -> list[Row]:
    """Train both works from an adapter, in both ways."""
    rows = []
    if EMBEDDED in options.works:
        rows += _rows(embedded(200), 16, 2 if options.quick else 5, options)
    for shape in shapes(options):
        # On a CPU the real student takes minutes for what the others do in seconds.
        rows += _rows(made(32, shape, options), 4 if shape == SMOL else 8, 1 if options.quick else 2, options)
    return rows


def _rows(work: Work, prompts: int, steps: int, options: Options) -> list[Row]:
    student, start = work.student(trains=True), options.folder / f"start-{work.name}"
    instruct(work, student, instruct_settings(16, 2, micro(work)), start)
    return [_row(kind, work, student, start, prompts, steps, options) for kind in KINDS]


def _row(kind: str, work: Work, student: Any, start: Path, prompts: int, steps: int, options: Options) -> Row:
    settings = explore_settings(prompts, steps, work.max_new_tokens, micro(work))
    told: dict[str, Online] = {}

    def ours() -> float:
        told["sitkit"] = online(kind, work, student, start, settings)
        return told["sitkit"].seconds

    def theirs() -> float:
        told["peer"] = stock_online(kind, work, start, settings)
        return told["peer"].seconds

    if not options.quick:
        in_turn(1, {"sitkit": ours, "peer": theirs})
    taken = in_turn(options.pairs, {"sitkit": ours, "peer": theirs})
    middle, answers = medians(taken), prompts * settings.samples * steps
    return Row(
        "online",
        f"{work.label}, {kind}",
        "answers/s",
        answers / middle["sitkit"],
        answers / middle["peer"],
        goal=1.3,
        higher=True,
        note=f"answers of {told['sitkit'].length:.0f} and {told['peer'].length:.0f} tokens on average, each its own",
        samples=taken,
    )
