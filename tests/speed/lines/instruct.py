"""Instruction-tuning on ragged lengths, against stock SFTTrainer with its best stock options."""

from __future__ import annotations

from tests.speed import floors
from tests.speed.measure import Options, Row, in_turn, medians
from tests.speed.training import RANK, Trained, furthest, instruct, instruct_settings, stock_sft
from tests.speed.work import EMBEDDED, Work, embedded, made, micro, shapes


def measure(options: Options) -> list[Row]:
    """Train both works."""
    rows = []
    if EMBEDDED in options.works:
        rows.append(_row(embedded(600), 32, 4 if options.quick else 24, options))
    for shape in shapes(options):
        work = made(128, shape, options)
        rows.append(_row(work, 16, 2 if options.quick else 4, options))
    return rows


def _row(work: Work, batch: int, steps: int, options: Options) -> Row:
    settings = instruct_settings(batch, steps, micro(work))
    student = work.student(trains=True)
    curves: dict[str, Trained] = {}

    def ours() -> float:
        curves["sitkit"] = instruct(work, student, settings)
        return curves["sitkit"].seconds

    def theirs() -> float:
        curves["peer"] = stock_sft(work, settings)
        return curves["peer"].seconds

    def grouped() -> float:
        # Of stock options this alone saves padding on a CPU; it changes which examples meet, so the curve differs.
        return stock_sft(work, settings, sampling="group_by_length").seconds

    sides = {"sitkit": ours, "peer": theirs, "peer, grouped by length": grouped}
    in_turn(1, sides)
    taken = in_turn(options.pairs, sides)
    middle = medians(taken)
    examples = batch * steps
    best = min("peer", "peer, grouped by length", key=lambda name: middle[name])
    return Row(
        "instruct",
        work.label,
        "examples/s",
        examples / middle["sitkit"],
        examples / middle[best],
        goal=1.3,
        floor=examples / _floor(work, student, batch, steps),
        higher=True,
        note=f"{best}; loss curves differ by at most"
        f" {furthest(curves['sitkit'].losses, curves['peer'].losses):.1g} from the random order's",
        samples=taken,
    )


def _floor(work: Work, student: object, batch: int, steps: int) -> float:
    tokenizer = student.models.tokenizer()  # type: ignore[attr-defined]
    lengths = []
    for one in work.demonstrations():
        prompt, answer = (len(tokenizer(text)["input_ids"]) for text in (one.prompt, one.completion))
        lengths.append((prompt + answer, answer))
    lengths *= -(-batch * steps // len(lengths))
    batches = [lengths[first * batch : (first + 1) * batch] for first in range(steps)]
    return floors.training(student.models.for_training(), batches, RANK)  # type: ignore[attr-defined]
