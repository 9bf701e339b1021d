"""Running out of memory: how it looks, and how many rows to start with."""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Any

from sitkit.plugin_support import machine_memory
from sitkit_hf.kv_cache import ROOM, is_spread

_SAID = re.compile(
    r"can't allocate memory|DefaultCPUAllocator|not enough memory|MPS backend out of memory"
    # cuDNN's attention does not say why it did not run. That the driver has no memory left is suspected and not proved
    # (pytorch/pytorch#190321); where it is something else, a single row that fails still ends in an error.
    r"|mha_graph(?:\.|->)execute"
)

MOST_ROWS = {"cpu": 256, "mps": 256, "cuda": 1024}
"""By device: more rows than this bring no more speed, and hold back what is already done.

On a CPU the work grows with the rows; on a GPU a step costs nearly the same for one row as for a thousand.
"""


def out_of_memory(error: BaseException) -> bool:
    """Tell whether the error says that the CPU's or the device's memory has run out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def free_memory(*, after_failure: bool = False) -> None:
    """Give unused memory back, so that a smaller batch or the next model finds it.

    Collecting takes half a second once the trainers are imported, so on a CPU it is done after a failure alone.
    """
    import gc

    import torch

    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        gc.collect()
        torch.mps.empty_cache()
    elif after_failure:
        gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        # The C library keeps gigabytes of what a training took, in pieces that nothing large fits into.
        trim(0)


def generation_rows(model: Any, prompt: int, answer: int, draws: int = 0) -> int:
    """Return how many rows to generate at once: what half of the free memory is thought to hold.

    ``prompt`` and ``answer`` are the most tokens that a row has to read and may write, ``draws`` of how many tokens its
    noise is drawn at once, if it is.
    """
    most = MOST_ROWS[model.device.type]
    free = [free_bytes(device) for device in _devices(model)]
    # Of a spread model each device holds a part of every row's cache.
    return int(max(1, min(most, len(free) * min(free) // 2 // row_bytes(model, prompt, answer, draws))))


def _devices(model: Any) -> list[Any]:
    """Return the GPUs that the layers of a spread model lie on; of another one, where it lies."""
    import torch

    places = set(getattr(model, "hf_device_map", {}).values()) - {"cpu", "disk"}
    return (
        [torch.device("cuda", int(place)) for place in sorted(places)]
        if is_spread(model) and places
        else [model.device]
    )


def row_bytes(model: Any, prompt: int, answer: int, draws: int = 0) -> int:
    """Return the bytes that a row is thought to take at its peak, beside the model.

    While prompts are read, a layer's work lies beside their cache: three tensors as wide as the feed-forward layer and
    four as wide as the model. While answers are written it is the whole cache and one layer's once more: a cache that
    grows or loses rows is copied layer by layer.
    """
    config = model.config.get_text_config()
    size = next(model.parameters()).element_size()
    # Layers may differ, as Gemma 4's do.
    layers = [(_kept(one) * size, _inner(one) * size) for one in config.per_layer_config]
    cached, most = sum(kept for kept, _ in layers), max(kept for kept, _ in layers)
    work = 3 * max(inner for _, inner in layers) + 4 * config.hidden_size * size
    reading = prompt * work + (prompt + ROOM) * cached
    writing = (prompt + answer + ROOM) * (cached + most)
    # Logits and their sums with the noise, and the noise, which is copied as rows leave; in float32.
    return int(max(reading, writing) + 8 * (1 + draws) * config.vocab_size)


TRAINING_BYTES = 4 * 2**30
"""What one forward and backward pass may keep on a CPU. More rows bring no speed there, and a kernel that runs out of
memory kills the process, which no smaller batch can follow."""


def first_guess(parameters: int) -> int:
    """Return how many examples a model of this size is first trained on at once."""
    return 32 if parameters < 10**9 else 8


def training_rows(model: Any, longest: int, most: int, *, dropout: bool, processes: int = 1) -> int:
    """Return how many examples of up to ``longest`` tokens to train on at once on a CPU, at most ``most``,
    in each of so many processes.
    """
    room = min(TRAINING_BYTES, free_bytes(model.device) // 2 // processes)
    return int(max(1, min(most, room // (longest * training_bytes(model, longest, dropout=dropout)))))


def training_bytes(model: Any, longest: int, *, dropout: bool) -> int:
    """Return the bytes that a token is thought to keep for the backward pass of LoRA on every linear layer.

    Each adapter keeps its input, and with dropout which of it was dropped, and the rest; the model's own layers keep a
    dozen tensors more; plain attention keeps a row of weights for every head, twice in float32's size.
    """
    config = model.config.get_text_config()
    size, width = next(model.parameters()).element_size(), int(config.hidden_size)
    layers = [
        size * ((3 if dropout else 1) * (6 * width + _inner(one)) + 8 * width + 4 * _inner(one))
        + 8 * int(getattr(one, "num_attention_heads", 1)) * longest
        for one in config.per_layer_config
    ]
    return sum(layers)


def _kept(layer: Any) -> int:
    """Return the elements of a token's keys and values in a layer of this config."""
    heads: Any = getattr(layer, "num_key_value_heads", None) or getattr(layer, "num_attention_heads", 1)
    head_dim = getattr(layer, "head_dim", None) or layer.hidden_size // getattr(layer, "num_attention_heads", 1)
    return int(2 * heads * head_dim)


def _inner(layer: Any) -> int:
    """Return the width of the feed-forward layer; four times the model's where the config does not say it."""
    width = getattr(layer, "intermediate_size", None)
    return width if isinstance(width, int) else 4 * int(layer.hidden_size)


def free_bytes(device: Any) -> int:
    """Return the memory that is free on a device, for the CPU that of the machine or of the container."""
    import torch

    if device.type != "cuda":
        return machine_memory()[1]
    # Blocks that torch holds and does not use are as good as free.
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + int(unused)


def total_bytes(device: Any) -> int:
    """Return the memory that a device has, for the CPU the machine or the container: the same at any time."""
    import torch

    if device.type != "cuda":
        return machine_memory()[0]
    return int(torch.cuda.mem_get_info(device)[1])


class MemoryRanOutError(Exception):
    """Memory ran out on some process with ``micro`` examples at a time; all of them start again with fewer."""

    def __init__(self, micro: int) -> None:
        self.micro = micro
        super().__init__(f"memory ran out with {micro} examples at a time")
