"""Ask a model: what students and teachers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.types import Generation, Prompt
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
