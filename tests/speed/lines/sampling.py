"""Both answers to training questions, against lm-eval's hf model at its best batch size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from sitkit.types import Generation, Prompt
from tests.speed import floors
from tests.speed.measure import Options, Row, clock, in_turn
from tests.speed.peers import BATCHES, Harness, fastest
from tests.speed.work import EMBEDDED, Work, embedded, made, shapes


def measure(options: Options) -> list[Row]:
    """Sample from each model; tokens a second, since a draw of one's own gives answers of another length."""
    rows = []
    if EMBEDDED in options.works:
        rows.append(_row(embedded(100 if options.quick else 600), options))
    for shape in shapes(options):
        count = 16 if options.quick else 96
        rows.append(_row(made(count, shape, options), options))
    return rows


def _row(work: Work, options: Options) -> Row:
    prompts = work.prompts()
    student = work.student()
    tokenizer = student.models.tokenizer()
    tokens: dict[str, list[float]] = {"sitkit": [], "peer": []}
    lengths: list[tuple[int, int]] = []

    def ours() -> float:
        started = clock()
        written = counted(student, prompts, Generation(work.max_new_tokens, work.temperature))
        seconds = clock() - started
        lengths[:] = [(len(tokenizer(prompt.text)["input_ids"]), written[prompt.id]) for prompt in prompts]
        tokens["sitkit"].append(sum(written.values()) / seconds)
        return seconds

    texts = [prompt.text for prompt in prompts]
    arguments = {
        "until": ["\nQuestion:"],
        "max_gen_toks": work.max_new_tokens,
        "temperature": work.temperature,
        "do_sample": True,
        # transformers would draw from the 50 likeliest tokens, which on a random model gives answers of other lengths.
        "top_k": 0,
    }
    harness = best(work, texts, arguments)

    def theirs() -> float:
        before, started = harness.tokens, clock()
        harness.answer(texts, arguments)
        seconds = clock() - started
        tokens["peer"].append((harness.tokens - before) / seconds)
        return seconds

    ours()
    tokens["sitkit"].clear()
    in_turn(options.pairs, {"sitkit": ours, "peer": theirs})
    floor = floors.generation(student.models.generator(None), lengths)
    middle = {name: statistics.median(values) for name, values in tokens.items()}
    return Row(
        "sampling",
        work.label,
        "tokens/s",
        middle["sitkit"],
        middle["peer"],
        goal=2.0,
        floor=sum(written for _, written in lengths) / floor,
        higher=True,
        note=f"{len(prompts)} prompts; peer at batch {harness.lm.batch_size}",
        samples=tokens,
    )


def counted(student: Any, prompts: Sequence[Prompt], generation: Generation) -> dict[str, int]:
    """Complete the prompts as a stage does, and return prompt id -> tokens written before the end."""
    from sitkit_hf.generation import StopStrings

    last = {"tokens": 0}
    text = StopStrings.text

    def watched(self: StopStrings, tokens: Sequence[int]) -> str:
        last["tokens"] = len(tokens)
        return text(self, tokens)

    StopStrings.text = watched  # type: ignore[method-assign]
    try:
        return {one.id: last["tokens"] for one in student.complete(None, prompts, generation)}
    finally:
        StopStrings.text = text  # type: ignore[method-assign]


def best(work: Work, texts: list[str], arguments: dict[str, object]) -> Harness:
    """Return lm-eval's hf model at the batch size that answers a part of the texts fastest."""

    def rate(size: int) -> float:
        harness = Harness(work.model, size, work.device, work.dtype)
        started = clock()
        harness.answer(texts[: max(BATCHES)], arguments)
        return harness.tokens / (clock() - started)

    return Harness(work.model, fastest(rate), work.device, work.dtype)
