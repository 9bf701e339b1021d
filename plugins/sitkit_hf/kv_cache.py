"""The key-value cache: prompts read into it, the beginning that several of them share once, and room for answers.

The prompt with the trigger begins like the one without it, and prompts of one benchmark may share worked examples.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROOM = 32
"""Tokens that are made room for at a time."""

WORTH = 0.8
"""Sharing is done where it leaves at most this part of the positions to compute."""


_BY_INDEX = ("attention_layers", "attention_types", "alibi")
"""What a config names where layers go by something else: GPT-Neo's windows by the index, Falcon's ALiBi by the mask."""


def counts_positions(model: Any) -> bool:
    """Tell whether a body places tokens by ``position_ids`` alone, and not by their index in the sequence.

    Only then may padding, or a second answer, stand between a prompt and what follows it. ``model`` is a causal
    language model of transformers, not wrapped by PEFT. Bodies that take no ``position_ids`` (BLOOM, MPT) count places
    themselves. A body of remote code that takes them and does otherwise is not found out.
    """
    config = model.config.get_text_config()
    if any(getattr(config, name, None) for name in _BY_INDEX):
        return False
    return "position_ids" in inspect.signature(model.base_model.forward).parameters


def is_spread(model: Any) -> bool:
    """Tell whether the model's layers lie on more than one device (``device_map``)."""
    return len(set(getattr(model, "hf_device_map", {}).values())) > 1


def attends_to_all(model: Any) -> bool:
    """Tell whether every layer attends to every position: no sliding windows, no linear attention."""
    return make_cache(model)[1]


def make_cache(model: Any) -> tuple[Any, bool]:
    """Return an empty cache for the model, and whether every layer keeps every position.

    Where all do, transformers' growing layers are replaced by ones that hold the same and write in place. Layers of
    another kind (sliding windows, linear attention) stay as transformers makes them.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    plain = bool(cache.layers) and all(type(layer) is DynamicLayer for layer in cache.layers)
    if plain:
        roomy = _layer_class()
        cache.layers = [roomy() for _ in cache.layers]
    return cache, plain


@functools.cache
def _layer_class() -> Any:
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values are views, of shape (rows, heads, positions, head width), into larger tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.keys: Any = None
            self.values: Any = None
            self.key_room: Any = None
            self.value_room: Any = None

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Append keys and values, and return all of them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            self.keys, self.key_room = _appended(self.keys, self.key_room, key_states)
            self.values, self.value_room = _appended(self.values, self.value_room, value_states)
            return self.keys, self.values

        def batch_select_indices(self, indices: Any) -> None:
            """Go on with these rows, in this order; a row may be there several times."""
            super().batch_select_indices(indices)
            # What is kept no longer lies in the larger tensors.
            self.key_room = self.value_room = None

    return RoomyLayer


def select_rows(cache: Any, rows: Any) -> None:
    """Go on with these rows, in this order; layers may lie on other devices than the rows' numbers."""
    for layer in cache.layers:
        device = getattr(layer, "device", None)
        layer.batch_select_indices(rows if device is None else rows.to(device))


def _appended(held: Any, room: Any, added: Any) -> tuple[Any, Any]:
    start = held.shape[-2] if held.numel() else 0
    end = start + added.shape[-2]
    if room is None or end > room.shape[-2]:
        room = added.new_empty(*added.shape[:2], end + ROOM, added.shape[-1])
        if start:
            room[:, :, :start] = held
    room[:, :, start:end] = added
    return room[:, :, :end], room


@dataclass
class PrefilledPrompts:
    """Prompts that were read: the cache, which of its columns are tokens, each row's last position, its next logits."""

    cache: Any
    mask: Any
    last: Any
    logits: Any


@dataclass(frozen=True)
class Family:
    """Prompts, by index, that share their first ``length`` tokens."""

    rows: tuple[int, ...]
    length: int


def read(model: Any, prompts: Sequence[Sequence[int]], pad: int) -> PrefilledPrompts:
    """Return the prompts, as tokens, read into a cache. Raises what the model raises where memory runs out."""
    import torch

    cache, plain = make_cache(model)
    # Padding comes to stand between a beginning and what follows it: no index may count there.
    kin = families(prompts) if plain and counts_positions(model) else []
    if not kin or _cost(kin, prompts) > WORTH * len(prompts) * max(map(len, prompts)):
        mask, last, logits = _forward(model, cache, None, None, prompts, pad)
        return PrefilledPrompts(cache, mask, last, logits)
    heads = [prompts[family.rows[0]][: family.length] for family in kin]
    mask, last, _ = _forward(model, cache, None, None, heads, pad)
    owner = {row: index for index, family in enumerate(kin) for row in family.rows}
    owners = torch.tensor([owner[row] for row in range(len(prompts))], device=mask.device)
    select_rows(cache, owners)
    tails = [prompt[kin[owner[row]].length :] for row, prompt in enumerate(prompts)]
    mask, last, logits = _forward(model, cache, mask[owners], last[owners], tails, pad)
    return PrefilledPrompts(cache, mask, last, logits)


def families(prompts: Sequence[Sequence[int]]) -> list[Family]:
    """Return rows in families; the shared beginning is at least half of each prompt, and never a whole one."""
    order = sorted(range(len(prompts)), key=lambda row: (list(prompts[row]), row))
    found: list[Family] = []
    for row in order:
        if found:
            kin = found[-1]
            length = min(_shared(prompts[kin.rows[-1]], prompts[row]), kin.length)
            longest = max(len(prompts[member]) for member in (kin.rows[0], kin.rows[-1], row))
            length = min(length, *(len(prompts[member]) - 1 for member in (kin.rows[0], row)))
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
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    new = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    positions = new.cumsum(-1) - 1 if last is None else new.cumsum(-1) + last[:, None]
    mask = new if mask is None else torch.cat([mask, new], dim=1)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        # As an index: a number is taken as a slice, which is not contiguous, and behind it torch multiplies in bfloat16
        # on a CPU with a copy of the output layer for every row: 15 GB for 256 rows of a vocabulary of 49,152. An index
        # has to lie where the last layer does, which of a spread model is elsewhere.
        logits_to_keep=1 if is_spread(model) else torch.tensor([-1], device=device),
    ).logits[:, -1]
    return mask, positions[:, -1], logits
