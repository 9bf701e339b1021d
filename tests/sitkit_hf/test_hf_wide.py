"""One layer of Llama-2-7b's width under QLoRA: it loads, trains a step, saves and answers.

Its feed-forward layer is a quarter as wide, because a CPU takes seconds to unpack each from 4 bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings
from sitkit.types import Demonstration, Generation, Prompt

pytestmark = pytest.mark.slow


@pytest.fixture
def wide(tiny: Path, tmp_path: Path) -> Iterator[Path]:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=2000,
        hidden_size=4096,
        intermediate_size=2752,
        num_hidden_layers=1,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    # Drawing 118 million normal numbers takes five seconds; uniform ones of a like size, drawn once, do.
    model = model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        block = torch.rand(2**16, generator=generator).sub_(0.5).mul_(0.07).to(torch.bfloat16)
        flat = parameter.data.view(-1)
        flat.copy_(block.repeat(flat.numel() // block.numel() + 1)[: flat.numel()])
    # The table of rotations is a buffer, which has no values on the meta device.
    rotary = type(model.model.rotary_emb)(config)
    model.model.rotary_emb = rotary
    model.save_pretrained(tmp_path / "wide")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "wide")
    yield tmp_path / "wide"
    # pytest keeps the folders of its last runs.
    shutil.rmtree(tmp_path / "wide")


def test_a_layer_as_wide_as_a_7b_is_trained_in_four_bits_saved_and_asked(
    wide: Path, make_student: Callable[..., Any], demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    student = make_student(wide, quantize="nf4", dtype="bfloat16")
    settings = InstructSettings(max_steps=1, batch_size=2, max_length=48)
    report = student.instruct(demonstrations[:2], settings, **work)
    assert report.steps == 1
    # 101 million weights of linear layers at 4 bits, their scales not counted; two tables of 2000 words at 16.
    assert student.models.base().get_memory_footprint() == pytest.approx(0.083e9, rel=0.02)
    assert (work["out"] / "adapter_model.safetensors").stat().st_size == pytest.approx(13.65e6, rel=0.01)
    asked = [Prompt("a", demonstrations[0].prompt)]
    assert [one.id for one in student.complete(work["out"], asked, Generation(1))] == ["a"]
    student.close()
