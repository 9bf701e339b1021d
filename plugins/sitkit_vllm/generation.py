"""Have an engine complete prompts, chunk by chunk, each prompt with a stream of its own.

Prompts become tokens by the rule of the student ``hf`` (`sitkit.plugin_support.PromptTokenizer`), so that both engines
start from the same ones; docs/vllm.md states it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sitkit.errors import ModelError
from sitkit.plugin_support import NOTICES, PromptTokenizer, end_tokens, stream_seed
from sitkit.types import Generation, Prompt
from sitkit_vllm.engine import Adapter, Engine, Request, Written
from sitkit_vllm.options import Options

_LOG = logging.getLogger(NOTICES)

CHUNK = 1024
"""Prompts handed over at a time: several times what an engine runs at once (256 by default), so that it stays full,
and few enough that a kill loses little."""


def complete(
    engine: Engine, prompts: PromptTokenizer, adapter: Adapter | None, wanted: Sequence[Prompt], generation: Generation
) -> Iterator[tuple[Prompt, Request, Written]]:
    """Yield each prompt with what was asked and what was written, as chunks finish. Raises `ModelError`."""
    requests = _requests(prompts, engine.start(adapter), wanted, generation)
    generation = replace(generation, stop=tuple(text for text in generation.stop if text))
    for start in range(0, len(wanted), CHUNK):
        chunk = requests[start : start + CHUNK]
        written = engine.generate(adapter, chunk, generation)
        yield from zip(wanted[start : start + CHUNK], chunk, written, strict=True)


def _requests(
    prompts: PromptTokenizer, longest: int, wanted: Sequence[Prompt], generation: Generation
) -> list[Request]:
    requests, cut = [], 0
    for prompt in wanted:
        tokens = prompts.prompt(prompt.text)
        if not tokens:
            raise ModelError(f"the prompt {prompt.id!r} has no tokens")
        # As the student hf does: the prompt matters more than the length of the answer, up to half of what there is.
        room = longest - min(generation.max_new_tokens, longest // 2)
        cut += len(tokens) > room
        tokens = tokens[-room:]
        limit = min(generation.max_new_tokens, longest - len(tokens))
        seed = stream_seed(generation.seed, prompt.id) if generation.temperature > 0 else None
        requests.append(Request(tokens, limit, seed))
    if cut:
        _LOG.warning(
            "%d of %d prompts are longer than the model's %d positions allow; cut on the left",
            cut,
            len(wanted),
            longest,
        )
    return requests


def load_prompts(options: Options) -> PromptTokenizer:
    """Load the tokenizer and return what makes tokens of prompts. Raises `ModelError` if it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            options.model, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
        ends = _further_ends(options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer of {options.name}: {str(error).splitlines()[0]}") from error
    return PromptTokenizer(
        tokenizer,
        name=options.name,
        chat_template=options.chat_template,
        system=options.system,
        thinking=options.thinking,
        ends=ends,
    )


def _further_ends(options: Options) -> tuple[int, ...]:
    from transformers import AutoConfig, GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(options.model, revision=options.revision)
    except OSError:
        # Models without the file have what their config says.
        config = AutoConfig.from_pretrained(
            options.model, revision=options.revision, trust_remote_code=options.trust_remote_code
        )
        generation = GenerationConfig.from_model_config(config)
    return end_tokens(generation)
