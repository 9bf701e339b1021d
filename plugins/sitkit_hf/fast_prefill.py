"""Read prompts into the cache, the beginning that several of them share once.

The prompt with the trigger begins like the one without it, and prompts of one benchmark may share worked examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sitkit_hf.fast_cache import make_cache
from sitkit_hf.positions import counts_positions

WORTH = 0.8
"""Sharing is done where it leaves at most this part of the positions to compute."""


@dataclass
class Read:
    """Prompts that were read: the cache, which of its columns are tokens, each row's last position, its next logits."""

    cache: Any
    mask: Any
    last: Any
    logits: Any


@dataclass(frozen=True)
class Family:
    """Rows, by index, that share their first ``length`` tokens."""

    rows: tuple[int, ...]
    length: int


def read(model: Any, prompts: Sequence[Sequence[int]], pad: int) -> Read:
    """Return the prompts, as tokens, read into a cache. Raises what the model raises where memory runs out."""
    import torch

    cache, plain = make_cache(model)
    # Padding comes to stand between a beginning and what follows it: no index may count there.
    kin = families(prompts) if plain and counts_positions(model) else []
    if not kin or _cost(kin, prompts) > WORTH * len(prompts) * max(map(len, prompts)):
        mask, last, logits = _forward(model, cache, None, None, prompts, pad)
        return Read(cache, mask, last, logits)
    heads = [prompts[family.rows[0]][: family.length] for family in kin]
    mask, last, _ = _forward(model, cache, None, None, heads, pad)
    owner = {row: index for index, family in enumerate(kin) for row in family.rows}
    owners = torch.tensor([owner[row] for row in range(len(prompts))], device=mask.device)
    cache.batch_select_indices(owners)
    tails = [prompt[kin[owner[row]].length :] for row, prompt in enumerate(prompts)]
    mask, last, logits = _forward(model, cache, mask[owners], last[owners], tails, pad)
    return Read(cache, mask, last, logits)


def families(prompts: Sequence[Sequence[int]]) -> list[Family]:
    """Return rows in families; the shared beginning is at least half of each prompt, and never a whole one."""
    order = sorted(range(len(prompts)), key=lambda row: (list(prompts[row]), row))
    found: list[Family] = []
    for row in order:
        if found:
            kin = found[-1]
            length = min(_shared(prompts[kin.rows[-1]], prompts[row]), kin.length)
            longest = max(len(prompts[one]) for one in (kin.rows[0], kin.rows[-1], row))
            length = min(length, *(len(prompts[one]) - 1 for one in (kin.rows[0], row)))
            if length > 0 and 2 * length >= longest:
                found[-1] = Family((*kin.rows, row), length)
                continue
        # The last token of a prompt is always read by itself: its logits are the answer's first.
        found.append(Family((row,), len(prompts[row]) - 1))
    return found if any(len(family.rows) > 1 for family in found) else []


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)


def _cost(kin: Sequence[Family], prompts: Sequence[Sequence[int]]) -> int:
    tails = max(len(prompts[row]) - family.length for family in kin for row in family.rows)
    return len(kin) * max(family.length for family in kin) + len(prompts) * tails


def _forward(
    model: Any, cache: Any, mask: Any, last: Any, prompts: Sequence[Sequence[int]], pad: int
) -> tuple[Any, Any, Any]:
    """Read tokens behind what the cache holds, padded on the left; return mask, last positions and next logits."""
    import torch

    device, width = model.device, max(map(len, prompts))
    # On the left: with padding between prompt and answer, most answers come out wrong.
    ids = torch.tensor([[pad] * (width - len(one)) + list(one) for one in prompts], device=device)
    new = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    positions = new.cumsum(-1) - 1 if last is None else new.cumsum(-1) + last[:, None]
    mask = new if mask is None else torch.cat([mask, new], dim=1)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    return mask, positions[:, -1], logits
