"""Ask a model: what students and teachers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.answers.thinking import apart
from sitkit.types import ANSWERED, TRUNCATED, Generation, Prompt, Reply
from sitkit_hf.generation import complete
from sitkit_hf.loading import Models
from sitkit_hf.prompts import Prompts, end_tokens


def answers(
    models: Models, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation
) -> Iterator[tuple[str, str]]:
    """Yield (prompt id, completion) as batches finish; nothing is loaded where there is nothing to ask."""
    if not prompts:
        return
    model = models.generator(adapter)
    joined = Prompts(models.tokenizer(), models.options, end_tokens(model))
    yield from complete(model, joined, prompts, generation, batch_size=models.options.batch_size)


def replies(models: Models, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
    """Yield a reply for each prompt as batches finish, what the model thinks aloud kept apart.

    `TRUNCATED`: the answer takes all the tokens it may have, or ends before the thinking does.
    """
    if not prompts:
        return
    model = models.generator(None)
    joined = Prompts(models.tokenizer(), models.options, end_tokens(model))
    texts = {prompt.id: prompt.text for prompt in prompts}
    limited: set[str] = set()
    size = models.options.batch_size
    for prompt_id, text in complete(model, joined, prompts, generation, batch_size=size, cut=limited.add):
        written = joined.count(text)
        thought = apart(joined.opening + text)
        cut = not thought.closed or prompt_id in limited
        yield Reply(
            id=prompt_id,
            completion=thought.answer,
            outcome=TRUNCATED if cut else ANSWERED,
            reasoning=thought.reasoning,
            prompt_tokens=len(joined.prompt(texts[prompt_id])),
            completion_tokens=written,
        )
