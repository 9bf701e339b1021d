"""Running out of memory: how it looks, and how many rows to start with."""

from __future__ import annotations

import os
import re
from typing import Any

_CPU = re.compile(r"can't allocate memory|DefaultCPUAllocator|not enough memory")

MOST_ROWS = 256
"""More rows than this bring no more speed, on a CPU or a GPU, and hold back what is already done."""


def out_of_memory(error: BaseException) -> bool:
    """Tell whether the error says that the CPU's or the device's memory has run out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _CPU.search(str(error)) is not None


def free_memory(*, after_failure: bool = False) -> None:
    """Give unused memory back, so that a smaller batch or the next model finds it.

    Collecting takes half a second once the trainers are imported, so on a CPU it is done after a failure alone.
    """
    import gc

    import torch

    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
    elif after_failure:
        gc.collect()


def generation_rows(model: Any, tokens: int) -> int:
    """Return how many rows of so many tokens to generate at once: what half of the free memory is thought to hold."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", 1)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // getattr(config, "num_attention_heads", 1)
    size = next(model.parameters()).element_size()
    cache = 2 * config.num_hidden_layers * heads * head_dim * size * tokens
    # The cache is copied as it grows by a token, and logits are widened to float32.
    row = 2 * cache + 16 * config.vocab_size
    return int(max(1, min(MOST_ROWS, _free_bytes(model.device) // 2 // row)))


def _free_bytes(device: Any) -> int:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
