"""A key-value cache with room to grow, so that a token does not cost a copy of everything before it."""

from __future__ import annotations

import functools
from typing import Any

ROOM = 32
"""Tokens that are made room for at a time."""


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


def _appended(held: Any, room: Any, added: Any) -> tuple[Any, Any]:
    start = held.shape[-2] if held.numel() else 0
    end = start + added.shape[-2]
    if room is None or end > room.shape[-2]:
        room = added.new_empty(*added.shape[:2], end + ROOM, added.shape[-1])
        if start:
            room[:, :, :start] = held
    room[:, :, start:end] = added
    return room[:, :, :end], room
