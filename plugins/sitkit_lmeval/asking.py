"""Ask a backend chunk by chunk: full batches, and little lost to a kill."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sitkit.errors import TeacherError
from sitkit.types import Generation, Prompt, Reply
from sitkit_lmeval.backend import one_line
from sitkit_lmeval.options import Options
from sitkit_lmeval.quiet import quiet
from sitkit_lmeval.randomness import chunk_seed, seeded
from sitkit_lmeval.replies import reply
from sitkit_lmeval.templates import render

BATCHES = 8
"""Batches in a chunk."""

ADAPTIVE = 512
"""Prompts in a chunk where the backend picks the batch size itself (``batch_size=auto``; vLLM and SGLang)."""


def ask(model: Any, options: Options, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
    """Yield a reply for each prompt as chunks finish, the longest prompts first, so that batches hold like lengths.

    The generators that backends draw from are seeded anew for each chunk, by the seed and the chunk's prompts: the
    same prompts asked again get the same answers, but a draw depends on what stands in its chunk. Raises
    `TeacherError` if the backend fails; chunks that were done are kept.
    """
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.text), prompt.id))
    with quiet():
        rendered = render(model, options)
    size = chunk_size(model, options)
    for start in range(0, len(ordered), size):
        chunk = ordered[start : start + size]
        texts = _generate(model, options, rendered, chunk, generation)
        for prompt, text in zip(chunk, texts, strict=True):
            yield reply(prompt.id, text)


def chunk_size(model: Any, options: Options) -> int:
    """Return how many prompts to hand over at a time."""
    batch: object = None
    with contextlib.suppress(NotImplementedError):
        batch = getattr(model, "batch_size", None)
    if isinstance(batch, str) and not batch.isdecimal():
        return ADAPTIVE
    given = [options.arguments.get(name, "") for name in ("batch_size", "num_concurrent")]
    sizes = [int(one) for one in (*given, str(batch)) if one.isdecimal()]
    return BATCHES * max([1, *sizes])


def _generate(
    model: Any, options: Options, rendered: Callable[[str], Any], chunk: Sequence[Prompt], generation: Generation
) -> list[str | None]:
    from lm_eval.api.instance import Instance

    arguments = {
        "until": list(generation.stop),
        "max_gen_toks": generation.max_new_tokens,
        "temperature": generation.temperature,
        "do_sample": generation.temperature > 0,
    }
    silent = "disable_tqdm" in inspect.signature(model.generate_until).parameters
    try:
        with quiet(), seeded(chunk_seed(generation.seed, [prompt.id for prompt in chunk])):
            requests = [
                Instance("generate_until", {"id": prompt.id}, (rendered(prompt.text), dict(arguments)), index)
                for index, prompt in enumerate(chunk)
            ]
            texts = list(model.generate_until(requests, **({"disable_tqdm": True} if silent else {})))
    except Exception as error:
        raise TeacherError(f"lm-eval's {options.backend} failed: {one_line(error)}") from error
    if len(texts) != len(chunk):
        raise TeacherError(f"lm-eval's {options.backend} gave {len(texts)} answers to {len(chunk)} prompts")
    return texts
