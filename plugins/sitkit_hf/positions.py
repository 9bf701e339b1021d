"""How a model's body knows where a token stands."""

from __future__ import annotations

import inspect
from typing import Any

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
