"""The few calls into vLLM's offline API (`vllm.LLM`, `vllm.SamplingParams`, `vllm.lora.request.LoRARequest`).

Written against vLLM 0.27 and its documentation (https://docs.vllm.ai/en/latest/features/lora/), the version that
goes with torch 2.13. A LoRA adapter's folder is as PEFT writes it.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError
from sitkit.plugin_support import VLLM_LORA_RANKS, check_finite, check_weights
from sitkit.types import Generation
from sitkit_vllm.options import Options


@dataclass(frozen=True)
class Adapter:
    """A folder; its identity, which changes when it is written anew; and its rank."""

    folder: Path
    identity: tuple[str, int, int]
    rank: int

    @property
    def engine_rank(self) -> int:
        """The smallest max_lora_rank that holds it."""
        return next(rank for rank in VLLM_LORA_RANKS if rank >= self.rank)


def read_adapter(folder: Path) -> Adapter:
    """Return the adapter in ``folder``. Raises `ModelError` if it is none, a broken one, or one vLLM cannot hold."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        status = (folder / "adapter_model.safetensors").stat()
        rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} is not the folder of a LoRA adapter: {error}") from error
    if rank > VLLM_LORA_RANKS[-1]:
        raise ModelError(
            f"vLLM runs LoRA adapters up to rank {VLLM_LORA_RANKS[-1]}, and {folder} has rank {rank}; use hf:"
        )
    try:
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder} is not the folder of a LoRA adapter: {error}") from error
    check_finite(f"the adapter in {folder}", weights.values(), "the learning rate it was trained with")
    return Adapter(folder, (str(folder.absolute()), status.st_size, status.st_mtime_ns), rank)


@dataclass(frozen=True)
class Request:
    """A prompt as tokens, how many tokens may follow, and the seed of its stream (None: greedy)."""

    tokens: list[int]
    limit: int
    seed: int | None


@dataclass(frozen=True)
class Written:
    """What came of a request: the text, stop strings cut off; the tokens it took; and whether it ran into its limit."""

    text: str
    tokens: int
    truncated: bool


class Engine:
    """A vLLM engine, started when it is first needed, and started anew where an adapter needs more room.

    vLLM's sleep mode would keep the process while something else trains, but it has lost adapters without a word
    (vllm-project/vllm issues 39934 and 53888), so `close` ends the engine's process: then its memory is free for sure.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._llm: Any = None
        self._rank = 0
        self._adapters: dict[tuple[str, int, int], int] = {}

    def start(self, adapter: Adapter | None) -> int:
        """Make ready for an adapter, or for the base alone, and return the longest sequence in tokens.

        Raises `ModelError` if vLLM cannot be used here or cannot run the model.
        """
        rank = 0 if adapter is None else adapter.engine_rank
        if self._llm is not None and rank > self._rank:
            self.close()
        if self._llm is None:
            self._llm = self._make(rank)
            self._rank = rank
        return int(self._llm.llm_engine.model_config.max_model_len)

    def generate(self, adapter: Adapter | None, requests: Sequence[Request], generation: Generation) -> list[Written]:
        """Return what is written for each request, in order; `start` comes first. Raises `ModelError` on failure."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=generation.temperature,
                top_p=generation.top_p,
                top_k=generation.top_k,
                max_tokens=request.limit,
                seed=request.seed,
                stop=list(generation.stop) or None,
            )
            for request in requests
        ]
        try:
            outputs = self._llm.generate(
                [{"prompt_token_ids": request.tokens} for request in requests],
                params,
                use_tqdm=False,
                lora_request=self._lora(adapter),
            )
        except Exception as error:
            self.close()
            raise ModelError(f"vLLM failed on {self.options.name}: {_one_line(error)}") from error
        written = [output.outputs[0] for output in outputs]
        return [Written(one.text, len(one.token_ids), one.finish_reason == "length") for one in written]

    def close(self) -> None:
        """End the engine's process and give its memory back."""
        if self._llm is None:
            return
        llm, self._llm = self._llm, None
        self._adapters.clear()
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()

    def _make(self, rank: int) -> Any:
        # vLLM forks its worker where torch has not touched the GPU yet, but the driver may have been asked what
        # there is, and a fork after that cannot use it.
        os.environ.setdefault("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        import transformers

        options = self.options
        check_weights(
            transformers,
            options.model,
            options.name,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
        )
        lora: dict[str, Any] = {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1} if rank else {}
        try:
            from vllm import LLM

            return LLM(
                model=self.options.model,
                revision=self.options.revision,
                tokenizer_revision=self.options.revision,
                trust_remote_code=self.options.trust_remote_code,
                dtype=self.options.dtype,
                **self.options.engine,
                **lora,
            )
        except Exception as error:
            raise ModelError(
                f"vLLM is installed but cannot run {self.options.name} here: {_one_line(error)};"
                " hf: runs the same model without it"
            ) from error

    def _lora(self, adapter: Adapter | None) -> Any:
        if adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        # vLLM knows an adapter by its number, so a folder that was written anew needs a new one; a path that is not
        # absolute might be taken for a hub id.
        number = self._adapters.setdefault(adapter.identity, len(self._adapters) + 1)
        return LoRARequest(f"adapter-{number}", number, str(adapter.folder.absolute()))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
