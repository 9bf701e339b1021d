"""bfloat16 on a CPU: where ``dtype=auto`` takes it, and that training and answers are right in it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.types import Demonstration, Generation, Objective, PreferencePair, Prompt
from sitkit_hf import options
from tests.completions import answered


def test_auto_takes_it_for_large_models_where_the_cpu_has_it(
    tiny: Path, make_student: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("auto is bfloat16 on this machine's GPU")

    def chosen(model: Path, **more: str) -> str:
        student = make_student(model, **more)
        loaded, told = student.models.dtype(), student.fingerprint()["dtype"]
        assert str(loaded) == f"torch.{told}"
        return str(told)

    parameters = sum(weight.numel() for weight in make_student(tiny).models.base().parameters())
    for native in (True, False):
        monkeypatch.setattr(options, "has_bfloat16", lambda native=native: native)
        assert chosen(tiny) == "float32"
        large = "bfloat16" if native else "float32"
        assert chosen(Path("org/name")) == large
        with monkeypatch.context() as patch:
            patch.setattr(options, "BFLOAT16_PARAMETERS", parameters)
            assert chosen(tiny) == large
            assert chosen(tiny, dtype="float32") == "float32"
            patch.setattr(options, "BFLOAT16_PARAMETERS", parameters + 1)
            assert chosen(tiny) == "float32"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no CPU is known to multiply bfloat16")
def test_what_the_cpu_has_is_what_torch_says() -> None:
    import torch

    has = torch.cpu.get_capabilities()
    assert options.has_bfloat16() == bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def test_the_first_losses_are_those_of_plain_transformers_and_ln_2(
    tiny: Path,
    make_student: Callable[..., Any],
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: Any,
    work: dict[str, Any],
    tmp_path: Path,
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from sitkit.settings import RefineSettings
    from sitkit_hf.prompts import Prompts, completions

    student = make_student(tiny, dtype="bfloat16")
    settings = replace(quick, batch_size=24, epochs=1, lora_dropout=0.0)
    told = student.instruct(demonstrations, settings, **work)
    prompts = Prompts(student.models.tokenizer(), student.options)
    rows = completions(prompts, [(row.prompt, row.completion) for row in demonstrations], settings.max_length).rows
    # On a CPU the student trains with plain attention and under autocast.
    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16, attn_implementation="eager")
    total, count = 0.0, 0
    for row in rows:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits = plain(torch.tensor([row["input_ids"]])).logits[0, :-1].float()
        labels = torch.tensor(row["labels"])[1:]
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        count += int((labels != -100).sum())
    assert told.metrics["first_loss"] == pytest.approx(total / count, abs=1e-3)
    adapter = load_file(work["out"] / "adapter_model.safetensors")
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    refined = student.refine(
        work["out"],
        pairs,
        Objective(),
        RefineSettings(max_steps=1, batch_size=8),
        **{**work, "out": tmp_path / "refined", "scratch": tmp_path / "refining"},
    )
    assert refined.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_greedy_answers_are_those_of_generate(tiny: Path, make_student: Callable[..., Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    student = make_student(tiny, dtype="bfloat16", batch_size="1")
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16), student.models.tokenizer()
    prompts = [Prompt(str(n), f"Question: what is {n} plus 3?\nAnswer:") for n in range(4)]
    texts = {}
    for prompt in prompts:
        given = tokenizer(prompt.text, return_tensors="pt", return_token_type_ids=False)
        out = plain.generate(**given, max_new_tokens=12, do_sample=False)
        texts[prompt.id] = tokenizer.decode(out[0, given["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answered(student.complete(None, prompts, Generation(12))) == texts
