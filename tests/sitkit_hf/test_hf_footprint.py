"""What a model is said to take on a GPU, beside its published size and what an H100 showed (docs/speed.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.capabilities import Footprint
from sitkit.settings import InstructSettings, RefineSettings, Settings
from sitkit.types import Context
from sitkit_hf.footprint import OVERHEAD, PAPER, Shape, footprint, read_shape
from sitkit_hf.options import Options, count_parameters

LLAMA = "meta-llama/Llama-2-7b-chat-hf"
H100 = 989e12
SMOL = Shape(width=576, inner=1536, layers=30, heads=9, key_heads=3, head_width=64, words=49152, tied=True)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (LLAMA, 6_738_415_616),
        ("meta-llama/Llama-2-13b-chat-hf", 13_015_864_320),
        ("meta-llama/Llama-2-70b-chat-hf", 68_976_648_192),
        ("mistralai/Mistral-7B-Instruct-v0.1", 7_241_732_096),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46_702_792_704),
    ],
)
def test_the_papers_models_have_their_published_parameters(model: str, published: int) -> None:
    assert PAPER[model].parameters == published


def test_a_small_model_has_its_published_parameters() -> None:
    assert SMOL.parameters == 134_515_008


def of(model: str, settings: Settings | None = None, *, trained: bool = True, **options: Any) -> Footprint:
    found = footprint(Options(model=model, **options), settings or Settings(), trained=trained)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stage", "tokens", "checkpointing", "peak", "off"),
    [
        ("instruct", 16 * 512, True, 11.1, 0.05),
        ("instruct", 8 * 512, True, 9.5, 0.05),
        ("instruct", 8 * 512, False, 39.3, 0.05),
        ("instruct", 8 * 1024, True, 11.8, 0.1),
        # The prompts of the two sides go through once.
        ("refine", 8 * (512 + 256 - 128), True, 9.7, 0.12),
    ],
)
def test_training_takes_the_memory_that_was_measured(
    stage: str, tokens: int, checkpointing: bool, peak: float, off: float
) -> None:
    settings = Settings(
        instruct=InstructSettings(gradient_checkpointing=checkpointing),
        refine=RefineSettings(gradient_checkpointing=checkpointing),
    )
    training = of(LLAMA, settings).training[stage]
    assert (training.held + tokens * training.token) / 1e9 == pytest.approx(peak, rel=off)


@pytest.mark.parametrize(("checkpointing", "measured"), [(True, 7889), (False, 10362)])
def test_training_takes_the_time_that_was_measured(checkpointing: bool, measured: int) -> None:
    training = of(LLAMA, Settings(instruct=InstructSettings(gradient_checkpointing=checkpointing))).training["instruct"]
    assert H100 * training.share / training.operations == pytest.approx(measured, rel=0.01)


def test_weights_take_what_was_measured() -> None:
    # 3.97 GB loaded in nf4, 13.5 GB in bfloat16, beside it; docs/train-7b.md.
    assert of(LLAMA).answering / 1e9 == pytest.approx(3.97 + 13.5, rel=0.01)
    assert of(LLAMA, trained=False, quantize="none").answering / 1e9 == pytest.approx(13.5, rel=0.01)
    assert PAPER[LLAMA].adapter(64) / 1e6 == pytest.approx(160, rel=0.01)
    # Nor are the experts of a mixture held in 4 bits: 91 GB, docs/students.md.
    mixture = of("mistralai/Mixtral-8x7B-Instruct-v0.1", trained=False, quantize="nf4")
    assert mixture.answering / 1e9 == pytest.approx(91, rel=0.01)


def test_a_lower_rank_and_fewer_examples_take_less() -> None:
    plain, small = (
        of(LLAMA, Settings(instruct=InstructSettings(lora_r=rank, micro_batch_size=at_once))).training["instruct"]
        for rank, at_once in ((64, 0), (16, 2))
    )
    assert plain.held - small.held == pytest.approx(5 * 4 * 0.75 * PAPER[LLAMA].adapter(64))
    assert (plain.at_once, small.at_once) == (8, 2)


def test_a_model_that_is_not_here_has_no_known_size() -> None:
    assert footprint(Options(model="nobody/nothing-3b"), Settings(), trained=True) is None
    assert read_shape({"model_type": "rwkv"}) is None


def test_a_folder_is_counted_by_the_headers_of_its_weights(tiny: Path, make_student: Callable[..., Any]) -> None:
    found = make_student(tiny, quantize="none", dtype="float32").footprint(Settings())
    assert found.parameters == count_parameters(tiny) > 0
    assert found.training["explore"].at_once == 32
    assert found.overhead == OVERHEAD
    # In full precision the merged copy stands beside the base.
    assert found.answering == 2 * 4 * found.parameters


def test_a_teacher_is_not_trained(tiny: Path) -> None:
    import sitkit_hf
    from sitkit.spec import Spec

    teacher: Any = sitkit_hf.hf_teacher(Spec("hf", str(tiny), {}), Context())
    found = teacher.footprint(Settings())
    assert (found.training, found.answering) == ({}, 2.0 * found.parameters)


def test_the_gpus_are_those_that_the_driver_shows(
    make_student: Callable[..., Any], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitkit_hf.options.cuda_memory", lambda: (24 << 30,))
    assert make_student(tiny).gpu_memory() == (24 << 30,)
    assert make_student(tiny, device="cpu").gpu_memory() == ()


def test_a_shape_is_read_from_what_sees_too() -> None:
    plain = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "vocab_size": 100,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
    }
    found = read_shape({"text_config": plain, "tie_word_embeddings": True})
    assert found is not None
    assert (found.inner, found.experts, found.chosen, found.tied, found.head_width) == (32, 4, 2, True, 16)
    assert replace(found, experts=1).linear > found.linear
