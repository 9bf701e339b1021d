"""Complete prompts with an engine, chunk by chunk, each prompt with a stream of its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence

from sitkit.errors import ModelError
from sitkit.types import Generation, Prompt
from sitkit_vllm.adapters import Adapter
from sitkit_vllm.engine import Engine, Request, Written
from sitkit_vllm.prompts import Prompts

_LOG = logging.getLogger("sitkit.notices")

CHUNK = 1024
"""Prompts handed over at a time: several times what an engine runs at once (256 by default), so that it stays full,
and few enough that a kill loses little."""


def row_seed(seed: int, prompt_id: str) -> int:
    """Return the seed of a prompt's stream, 63 bits of sha256 over the run's seed and the prompt's id."""
    digest = hashlib.sha256(f"{seed}\0{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def complete(
    engine: Engine, prompts: Prompts, adapter: Adapter | None, wanted: Sequence[Prompt], generation: Generation
) -> Iterator[tuple[Prompt, Request, Written]]:
    """Yield each prompt with what was asked and what was written, as chunks finish. Raises `ModelError`."""
    requests = _requests(prompts, engine.start(adapter), wanted, generation)
    stop = [one for one in generation.stop if one]
    for start in range(0, len(wanted), CHUNK):
        chunk = requests[start : start + CHUNK]
        written = engine.generate(adapter, chunk, temperature=generation.temperature, stop=stop)
        yield from zip(wanted[start : start + CHUNK], chunk, written, strict=True)


def _requests(prompts: Prompts, longest: int, wanted: Sequence[Prompt], generation: Generation) -> list[Request]:
    requests, cut = [], 0
    for prompt in wanted:
        tokens = prompts.tokens(prompt.text)
        if not tokens:
            raise ModelError(f"the prompt {prompt.id!r} has no tokens")
        # As the student hf does: the prompt matters more than the length of the answer, up to half of what there is.
        room = longest - min(generation.max_new_tokens, longest // 2)
        cut += len(tokens) > room
        tokens = tokens[-room:]
        limit = min(generation.max_new_tokens, longest - len(tokens))
        seed = row_seed(generation.seed, prompt.id) if generation.temperature > 0 else None
        requests.append(Request(tokens, limit, seed))
    if cut:
        _LOG.warning(
            "%d of %d prompts are longer than the model's %d positions allow; cut on the left",
            cut,
            len(wanted),
            longest,
        )
    return requests
