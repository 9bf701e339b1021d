"""A stand-in for vLLM: the few names that sitkit uses, with the arguments, limits and habits that the real ones have
(vLLM 0.27), on transformers and PEFT. It refuses what the real one refuses, runs one engine at a time, as a GPU's
memory allows, and writes each call as a line of JSON to the file that VLLM_STAND_IN_LOG names.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm.lora.request import LoRARequest

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)

_alive: list["LLM"] = []


def _log(**call: Any) -> None:
    with Path(os.environ["VLLM_STAND_IN_LOG"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")


class SamplingParams:
    def __init__(
        self,
        n: int = 1,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repetition_penalty: float = 1.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int | None = None,
        stop: str | list[str] | None = None,
        max_tokens: int | None = 16,
    ) -> None:
        if temperature < 0 or not isinstance(max_tokens, int) or max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {max_tokens}.")
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise ValueError("seed must be a 64-bit integer")
        if stop is not None and (not stop or any(not one for one in stop)):
            raise ValueError("stop cannot contain an empty string.")
        self.top_p, self.top_k = top_p, top_k
        self.temperature, self.seed, self.max_tokens, self.stop = temperature, seed, max_tokens, list(stop or [])


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    finish_reason: str


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]


@dataclass
class _ModelConfig:
    max_model_len: int


class _EngineCore:
    def __init__(self, llm: "LLM") -> None:
        self.llm = llm

    def shutdown(self) -> None:
        _log(call="shutdown")
        _alive.remove(self.llm)
        self.llm.model = None


class _Engine:
    def __init__(self, llm: "LLM", longest: int) -> None:
        self.model_config = _ModelConfig(longest)
        self.engine_core = _EngineCore(llm)


class LLM:
    def __init__(
        self,
        model: str,
        *,
        trust_remote_code: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        revision: str | None = None,
        tokenizer_revision: str | None = None,
        seed: int = 0,
        gpu_memory_utilization: float = 0.9,
        enforce_eager: bool = False,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        enable_lora: bool = False,
        max_loras: int = 1,
        max_lora_rank: int = 16,
    ) -> None:
        if os.environ.get("VLLM_STAND_IN_FAILS"):
            raise RuntimeError("Engine core initialization failed.\nSee root cause above.")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if _alive:
            raise ValueError("Free memory on device is less than desired GPU memory utilization")
        if dtype not in ("auto", "half", "float16", "bfloat16", "float", "float32"):
            raise ValueError(f"Unknown dtype: {dtype}")
        if max_lora_rank not in MAX_LORA_RANKS:
            raise ValueError(f"max_lora_rank ({max_lora_rank}) must be one of {MAX_LORA_RANKS}")
        _log(
            call="LLM",
            model=model,
            dtype=dtype,
            enable_lora=enable_lora,
            max_lora_rank=max_lora_rank,
            max_num_seqs=max_num_seqs,
            environment={name: os.environ.get(name) for name in ("VLLM_WORKER_MULTIPROCESSING_METHOD",)},
        )
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.lora_rank = max_lora_rank if enable_lora else 0
        self.lora_paths: dict[int, str] = {}
        longest = max_model_len or self.model.config.max_position_embeddings
        self.llm_engine = _Engine(self, longest)
        _alive.append(self)

    def generate(
        self,
        prompts: Any,
        sampling_params: Any = None,
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
        priority: list[int] | None = None,
    ) -> list[RequestOutput]:
        if len(sampling_params) != len(prompts):
            raise ValueError(f"The lengths of prompts ({len(prompts)}) and params must be the same.")
        if lora_request is not None:
            self._load(lora_request)
        _log(
            call="generate",
            prompts=len(prompts),
            seeds=[one.seed for one in sampling_params],
            drawn=sorted({(one.temperature, one.top_p, one.top_k) for one in sampling_params}),
            lora=None if lora_request is None else lora_request.lora_int_id,
            bar=use_tqdm,
        )
        model = self._with(lora_request)
        return [
            RequestOutput(
                str(index), prompt["prompt_token_ids"], [self._write(model, prompt["prompt_token_ids"], params)]
            )
            for index, (prompt, params) in enumerate(zip(prompts, sampling_params, strict=True))
        ]

    def _load(self, request: LoRARequest) -> None:
        rank = json.loads(Path(request.lora_path, "adapter_config.json").read_text(encoding="utf-8"))["r"]
        if not self.lora_rank:
            raise ValueError(f"Got lora_request {request} but LoRA is not enabled!")
        if rank > self.lora_rank:
            raise ValueError(f"LoRA rank {rank} is greater than max_lora_rank {self.lora_rank}.")
        # The real one knows an adapter by its number, and does not look at the path again.
        self.lora_paths.setdefault(request.lora_int_id, request.lora_path)

    def _with(self, request: LoRARequest | None) -> Any:
        import copy

        from peft import PeftModel

        if request is None:
            return self.model
        path = self.lora_paths[request.lora_int_id]
        return PeftModel.from_pretrained(copy.deepcopy(self.model), path).merge_and_unload().eval()

    def _write(self, model: Any, prompt: list[int], params: SamplingParams) -> CompletionOutput:
        import torch

        if len(prompt) + params.max_tokens > self.llm_engine.model_config.max_model_len:
            raise ValueError("The decoder prompt is longer than the maximum model length.")
        draws = None if params.seed is None else torch.Generator().manual_seed(params.seed)
        ids, written, reason = torch.tensor([prompt]), [], "length"
        while len(written) < params.max_tokens:
            with torch.inference_mode():
                logits = model(input_ids=ids).logits[0, -1].float()
            if params.temperature > 0:
                token = int(torch.multinomial((logits / params.temperature).softmax(-1), 1, generator=draws))
            else:
                token = int(logits.argmax())
            if token == self.tokenizer.eos_token_id:
                reason = "stop"
                break
            written.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
            if any(stop in self.tokenizer.decode(written) for stop in params.stop):
                reason = "stop"
                break
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        for stop in params.stop:
            text = text.partition(stop)[0]
        return CompletionOutput(0, text, written, reason)
