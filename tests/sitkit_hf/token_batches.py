"""Batches of tokens as TRL's collators make them, and a tiny model as its trainers prepare it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

FIELDS = ("log_probs", "entropy", "mean_logits", "is_top1")


def prepared(model: Any) -> Any:
    """A copy of the model that gives log-probabilities, as TRL's trainers ask for them."""
    from trl.trainer.utils import add_fused_lm_head

    model = copy.deepcopy(model).requires_grad_(True)
    add_fused_lm_head(model, outputs=FIELDS)
    return model


def batch(rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """Prompts and completions as TRL's collators pad them: on the right."""
    import torch

    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(rows):
        both = torch.tensor(prompt + answer)
        ids[row, : len(both)], mask[row, : len(both)] = both, 1
        labels[row, len(prompt) : len(both)] = both[len(prompt) :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "use_cache": False, "fused_lm_head": True}


def tokens(seed: int, count: int) -> list[int]:
    import random

    rng = random.Random(seed)
    return [rng.randrange(6, 260) for _ in range(count)]


def pairs_batch(count: int) -> dict[str, Any]:
    prompts = [tokens(n, 3 + 5 * n % 17) for n in range(count)]
    sides = [[tokens(100 * side + n, 1 + (7 + side) * n % 11) for n in range(count)] for side in (1, 2)]
    return batch([*zip(prompts, sides[0], strict=True), *zip(prompts, sides[1], strict=True)])


def calls(model: Any) -> list[tuple[int, ...]]:
    """The shapes that reach the model's body from now on."""
    shapes: list[tuple[int, ...]] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes
