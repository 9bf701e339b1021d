"""Complete prompts in length-sorted batches that rows leave as they finish."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sitkit.errors import ModelError
from sitkit.types import Generation, Prompt
from sitkit_hf.memory import free_memory, generation_rows, out_of_memory
from sitkit_hf.prompts import Prompts
from sitkit_hf.sampling import Greedy, GumbelRows, row_seed
from sitkit_hf.stopping import Stops

_LOG = logging.getLogger("sitkit.notices")

_COMPACT = 1 / 8
"""Rows are taken out of the batch once this share of it is done: taking out costs a copy of the cache."""


@dataclass(frozen=True)
class Row:
    """A prompt as tokens, how many tokens may follow, and the seed of its stream."""

    id: str
    tokens: list[int]
    limit: int
    seed: int


def complete(
    model: Any, prompts: Prompts, wanted: Sequence[Prompt], generation: Generation, *, batch_size: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield (prompt id, completion) batch by batch, longest prompts first.

    A batch that does not fit into memory is halved and tried again. Raises `ModelError` if one row does not fit.
    """
    rows = _rows(model, prompts, wanted, generation)
    if not rows:
        return
    stops = Stops(prompts.tokenizer, generation.stop)
    most = batch_size
    done = 0
    while done < len(rows):
        size = most or generation_rows(model, len(rows[done].tokens) + rows[done].limit)
        batch = rows[done : done + size]
        try:
            written = decode(model, batch, prompts, stops, generation.temperature)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise ModelError(
                    f"memory ran out on a single prompt of {len(batch[0].tokens)} tokens; lower max_new_tokens"
                ) from error
            most = len(batch) // 2
        else:
            done += len(batch)
            for row, tokens in zip(batch, written, strict=True):
                yield row.id, stops.text(tokens)
            continue
        free_memory(after_failure=True)


def _rows(model: Any, prompts: Prompts, wanted: Sequence[Prompt], generation: Generation) -> list[Row]:
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    rows, cut = [], 0
    for prompt in wanted:
        tokens, limit = prompts.prompt(prompt.text), generation.max_new_tokens
        if longest is not None:
            # The prompt matters more than the length of the answer, up to half of what the model can see.
            room = longest - min(limit, longest // 2)
            cut += len(tokens) > room
            tokens = tokens[-room:]
            limit = min(limit, longest - len(tokens))
        if not tokens:
            raise ModelError(f"the prompt {prompt.id!r} has no tokens")
        rows.append(Row(prompt.id, tokens, limit, row_seed(generation.seed, prompt.id)))
    if cut:
        _LOG.warning(
            "%d of %d prompts are longer than the model's %d positions allow; cut on the left", cut, len(rows), longest
        )
    return sorted(rows, key=lambda row: (-len(row.tokens) - row.limit, row.id))


def decode(model: Any, rows: Sequence[Row], prompts: Prompts, stops: Stops, temperature: float) -> list[list[int]]:
    """Return the token ids each row writes, end tokens left out; in float32 and greedy, those of ``model.generate``."""
    import torch

    with torch.inference_mode():
        return _decode(model, rows, prompts, stops, temperature)


def _decode(model: Any, rows: Sequence[Row], prompts: Prompts, stops: Stops, temperature: float) -> list[list[int]]:
    import torch
    from transformers import DynamicCache

    device = model.device
    width = max(len(row.tokens) for row in rows)
    pad = prompts.tokenizer.pad_token_id or 0
    # On the left: with padding between prompt and answer, most answers come out wrong.
    ids = torch.tensor([[pad] * (width - len(row.tokens)) + row.tokens for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    pick = GumbelRows([row.seed for row in rows], temperature, device) if temperature > 0 else Greedy()
    cache = DynamicCache(config=model.config)
    written: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))
    finished = [False] * len(rows)
    ends = frozenset(prompts.ends)

    while True:
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        chosen = pick.choose(logits)
        for row, token in zip(alive, chosen.tolist(), strict=True):
            if finished[row]:
                continue
            if token in ends:
                finished[row] = True
                continue
            written[row].append(token)
            finished[row] = len(written[row]) >= rows[row].limit or stops.reached(written[row])
        going = [slot for slot, row in enumerate(alive) if not finished[row]]
        if not going:
            return written
        last = positions[:, -1]
        if len(alive) - len(going) >= _COMPACT * len(alive):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            pick.keep(kept)
            mask, chosen, last = mask[kept], chosen[kept], last[kept]
            alive = [alive[slot] for slot in going]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        positions = last[:, None] + 1
