from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Generation, Objective, PreferencePair, Prompt
from tests.completions import answered


@pytest.fixture(scope="module")
def quantized(tiny: Path, make_student: Callable[..., Any]) -> Any:
    return make_student(tiny, quantize="nf4")


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return tensors


def test_the_base_is_4_bit_and_small_steps_are_not_rounded_away(
    quantized: Any, start: Path, pairs: Sequence[PreferencePair], work: dict[str, Any]
) -> None:
    import torch

    settings = RefineSettings(
        max_steps=12, batch_size=8, learning_rate=1e-6, warmup=0, max_length=128, validation=0.2, eval_steps=6
    )
    report = quantized.refine(start, pairs, Objective(), settings, **work)
    kinds = {type(module).__name__ for module in quantized.models.base().modules()}
    assert "Linear4bit" in kinds
    assert report.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-6)
    before, after = adapter(start), adapter(work["out"])
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    changed = sum(int((before[name] != after[name]).sum()) for name in before)
    total = sum(tensor.numel() for tensor in before.values())
    # TRL's own rounding to bfloat16 leaves about 2% changed at this learning rate.
    assert changed > 0.95 * total


def test_instructing_on_4_bit_starts_from_unrounded_weights(
    quantized: Any,
    student: Any,
    demonstrations: Sequence[Demonstration],
    work: dict[str, Any],
    tmp_path: Path,
) -> None:
    settings = InstructSettings(epochs=1, max_steps=1, batch_size=8, lora_r=4, learning_rate=1e-9, warmup=0)
    quantized.instruct(demonstrations, settings, **work)
    plain = {**work, "out": tmp_path / "plain", "scratch": tmp_path / "plain-scratch"}
    student.instruct(demonstrations, settings, **plain)
    import torch

    # The same seed draws the same first weights, whatever the base's precision.
    four_bit, full = adapter(work["out"]), adapter(tmp_path / "plain")
    assert all(torch.allclose(four_bit[name], full[name], atol=1e-7) for name in full if "lora_A" in name)


def test_gradients_do_not_change_after_an_evaluation(tiny: Path, make_student: Callable[..., Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    base = make_student(tiny, quantize="nf4").models.base()
    layers = [module for module in base.modules() if type(module).__name__ == "Linear4bit"]
    assert layers
    assert not any(module.support_avx512bf16_for_cpu for module in layers)
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    ids = torch.arange(10, 40)[None]

    def gradients() -> list[Any]:
        model.zero_grad()
        model.train()
        model(input_ids=ids, labels=ids).loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad]

    before = gradients()
    with torch.no_grad():
        model.eval()(input_ids=ids)
    assert all(torch.equal(one, other) for one, other in zip(before, gradients(), strict=True))


def test_answers_come_from_full_precision_weights(quantized: Any, student: Any, start: Path) -> None:
    asked = [Prompt(str(n), f"Question: what is {n} plus 3?\nAnswer:") for n in range(6)]
    for folder in (None, start):
        answers = answered(student.complete(folder, asked, Generation(10)))
        assert answered(quantized.complete(folder, asked, Generation(10))) == answers
