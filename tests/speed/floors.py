"""Bare loops: the least that the same shapes cost, forward and backward, with nothing around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.speed.measure import clock

ROWS = (32, 64, 256)
"""Rows of a batch; which is fastest depends on the model and the machine."""


def generation(model: Any, lengths: Sequence[tuple[int, int]]) -> float:
    """Return the seconds of bare generation, at the number of rows for which they are fewest; see `_generation`."""
    return min(_generation(model, lengths, rows) for rows in ROWS)


def _generation(model: Any, lengths: Sequence[tuple[int, int]], most: int) -> float:
    """Return the seconds of bare forward passes that write so many tokens behind prompts of such lengths.

    ``lengths`` holds (prompt tokens, written tokens). Rows leave with their last token, which only a loop that knows
    the lengths beforehand can do; nothing is picked, checked or decoded.
    """
    import torch
    from transformers import DynamicCache

    rows = sorted(lengths, reverse=True)
    started = clock()
    with torch.inference_mode():
        for first in range(0, len(rows), most):
            # Those that write longest come first, so that leaving is a slice.
            batch = sorted(rows[first : first + most], key=lambda row: -row[1])
            width = max(prompt for prompt, _ in batch)
            cache = DynamicCache(config=model.config)
            ids = torch.ones(len(batch), width, dtype=torch.long, device=model.device)
            for step in range(batch[0][1]):
                alive = sum(written > step for _, written in batch)
                if alive < len(ids) * 7 / 8:
                    cache.batch_select_indices(torch.arange(alive, device=model.device))
                    ids = ids[:alive]
                model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                ids = ids[:, :1]
    _finish(model)
    return clock() - started


def training(model: Any, batches: Sequence[Sequence[tuple[int, int]]], rank: int) -> float:
    """Return the seconds of bare forward and backward passes with LoRA over every linear layer.

    ``batches`` holds, for each optimiser step, (positions, positions with a loss) of each row. Each batch runs in eight
    groups of like length, without a mask, the output layer over positions with a loss alone, and one AdamW step.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5)
    base = adapted.get_base_model()
    head = base.get_output_embeddings()
    adapted.train()
    started = clock()
    for batch in batches:
        rows = sorted(batch)
        size = max(1, len(rows) // 8)
        for first in range(0, len(rows), size):
            group = rows[first : first + size]
            longest, scored = group[-1][0], max(1, sum(one[1] for one in group) // len(group))
            ids = torch.ones(len(group), longest, dtype=torch.long, device=model.device)
            hidden = base.base_model(input_ids=ids, use_cache=False).last_hidden_state
            logits = head(hidden[:, -scored:].reshape(-1, hidden.shape[-1]))
            targets = torch.ones(len(logits), dtype=torch.long, device=model.device)
            loss = torch.nn.functional.cross_entropy(logits, targets)
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    _finish(model)
    seconds = clock() - started
    adapted.unload()
    return seconds


def _finish(model: Any) -> None:
    """Wait for what a GPU still has to do."""
    import torch

    if model.device.type == "cuda":
        torch.cuda.synchronize()
