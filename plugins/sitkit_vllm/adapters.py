"""A LoRA adapter's folder as PEFT writes it: which one it is, and how much room vLLM has to keep for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sitkit.errors import ModelError

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `vllm.LLM` takes as max_lora_rank."""


@dataclass(frozen=True)
class Adapter:
    """A folder; its identity, which changes when it is written anew; and its rank."""

    folder: Path
    identity: tuple[str, int, int]
    rank: int

    @property
    def engine_rank(self) -> int:
        """The smallest max_lora_rank that holds it."""
        return next(rank for rank in RANKS if rank >= self.rank)


def read_adapter(folder: Path) -> Adapter:
    """Return the adapter in ``folder``. Raises `ModelError` if it is none, or one that vLLM cannot hold."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        status = (folder / "adapter_model.safetensors").stat()
        rank = max([int(config["r"]), *(int(one) for one in (config.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} is no LoRA adapter's folder: {error}") from error
    if rank > RANKS[-1]:
        raise ModelError(f"vLLM runs LoRA adapters up to rank {RANKS[-1]}, and {folder} has rank {rank}; use hf:")
    return Adapter(folder, (str(folder.absolute()), status.st_size, status.st_mtime_ns), rank)
