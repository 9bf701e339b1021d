"""Each architecture of the presets, tiny and random, is instructed, refined and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Generation, Objective, PreferencePair, Prompt
from tests.completions import answered

pytestmark = pytest.mark.slow

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
EXPERTS = {"num_experts_per_tok": 2}

ARCHITECTURES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "llama": ({}, LINEAR),
    "mistral": ({"sliding_window": 24}, LINEAR),
    "mixtral": ({**EXPERTS, "num_local_experts": 4}, ATTENTION),
    "qwen2": ({}, LINEAR),
    "qwen3": ({"head_dim": 8}, LINEAR),
    "qwen3_moe": (
        {**EXPERTS, "num_experts": 4, "moe_intermediate_size": 32, "decoder_sparse_step": 1, "head_dim": 8},
        ATTENTION,
    ),
    "smollm3": ({"no_rope_layers": [1, 0]}, LINEAR),
    "gemma2": ({"sliding_window": 24, "head_dim": 8, "query_pre_attn_scalar": 8}, LINEAR),
    "gemma3_text": ({"sliding_window": 24, "head_dim": 8, "query_pre_attn_scalar": 8}, LINEAR),
    "gemma3": ({"sliding_window": 24, "head_dim": 8, "query_pre_attn_scalar": 8}, LINEAR),
    "phi3": ({}, {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
}
"""model_type -> what its config says beside the shapes all share, and which layers LoRA adapts."""

SIGHT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
"""The vision tower of Gemma 3 from 4B on, which text does not go through."""


def write_architecture(kind: str, tiny: Path, folder: Path, **shape: Any) -> Path:
    """Write a random model of this kind with the tokenizer of the tiny one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    own, _ = ARCHITECTURES[kind]
    shape = dict(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=192,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **own,
        **shape,
    )
    tower = {"vision_config": SIGHT} if kind == "gemma3" else {}
    config = CONFIG_MAPPING[kind](**({"text_config": shape, **tower} if tower else shape))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_architecture_is_instructed_refined_and_answers_as_generate_does(
    kind: str,
    tiny: Path,
    make_student: Callable[..., Any],
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    tmp_path: Path,
) -> None:
    folder = write_architecture(kind, tiny, tmp_path / kind)
    student = make_student(folder)
    shared = {"seed": 1, "progress": lambda *_: None}
    settings = InstructSettings(max_steps=2, batch_size=4, learning_rate=1e-3, lora_r=4, max_length=96)
    student.instruct(demonstrations[:8], settings, out=tmp_path / "one", scratch=tmp_path / "s1", **shared)
    assert adapted_layers(tmp_path / "one") == ARCHITECTURES[kind][1]
    refine = RefineSettings(max_steps=2, batch_size=4, learning_rate=1e-3, max_length=96, validation=0)
    report = student.refine(
        tmp_path / "one", pairs[:8], Objective(), refine, out=tmp_path / "two", scratch=tmp_path / "s2", **shared
    )
    assert report.metrics["first_loss"] == pytest.approx(0.693147, abs=1e-4)
    assert_greedy_answers_are_those_of_generate(student, tmp_path / "two", folder)


def adapted_layers(adapter: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        names = [name.partition(".lora_") for name in file.keys()]  # noqa: SIM118 - it is no dict
    assert not any("vision" in layer for layer, _, _ in names)
    return {layer.rpartition(".")[2] for layer, _, _ in names}


def assert_greedy_answers_are_those_of_generate(student: Any, adapter: Path, folder: Path) -> None:
    """Prompts of several lengths, some longer than the sliding window."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts = [Prompt(f"{n}", "Question: " + "what is it? " * n + "\nAnswer:") for n in (1, 3, 7, 5)]
    given = answered(student.complete(adapter, prompts, Generation(max_new_tokens=24, stop=())))
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for prompt in prompts:
        ids = tokenizer(prompt.text, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=24, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert given[prompt.id] == tokenizer.decode(out, skip_special_tokens=True).strip(), prompt.id
