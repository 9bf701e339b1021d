"""Have a backend answer chunk by chunk, and make replies of what it returns."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sitkit.answers.thinking import apart
from sitkit.errors import TeacherError
from sitkit.plugin_support import quiet, seeded, stream_seed
from sitkit.types import Generation, Prompt, Reply
from sitkit_lmeval.backend import one_line, render
from sitkit_lmeval.options import Options

BATCHES = 8
"""Batches in a chunk."""

ADAPTIVE = 512
"""Prompts in a chunk where the backend picks the batch size itself (``batch_size=auto``; vLLM and SGLang)."""


EMPTY = "empty reply"


def ask(model: Any, options: Options, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
    """Yield a reply for each prompt as chunks finish, the longest prompts first, so that batches hold like lengths.

    The generators that backends draw from are seeded anew for each chunk, by the seed and the chunk's prompts: the
    same prompts asked again get the same answers, but a draw depends on what stands in its chunk. Raises
    `TeacherError` if the backend fails; chunks that were done are kept.
    """
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.text), prompt.id))
    with quiet(streams=True):
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

    arguments: dict[str, Any] = {
        "until": list(generation.stop),
        "max_gen_toks": generation.max_new_tokens,
        "temperature": generation.temperature,
        "do_sample": generation.temperature > 0,
    }
    if generation.top_p != 1:
        arguments["top_p"] = generation.top_p
    if generation.top_k:
        arguments["top_k"] = generation.top_k
    silent = "disable_tqdm" in inspect.signature(model.generate_until).parameters
    try:
        with quiet(streams=True), seeded(stream_seed(generation.seed, *(prompt.id for prompt in chunk))):
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


def reply(prompt_id: str, text: str | None) -> Reply:
    """Return the reply. lm-eval's endpoints turn many failures into an empty text, so that is never an answer."""
    thought = apart(text or "")
    if thought.answer:
        return Reply(prompt_id, thought.answer, reasoning=thought.reasoning)
    why = "lm-eval gives no reason"
    if thought.reasoning:
        why = "there is reasoning but no answer"
    if not thought.closed:
        why = "the reasoning never ends: allow more tokens (annotate.max_new_tokens)"
    return Reply(prompt_id, outcome=EMPTY, detail=why, reasoning=thought.reasoning)
