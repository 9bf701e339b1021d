from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError
from sitkit.types import Generation, Prompt
from tests.completions import answered

ASKED = [Prompt(str(n), f"Question: what is {n} plus 3?\nAnswer:") for n in range(8)]


def answers(folder: Path) -> dict[str, str]:
    """Load the folder as anybody would, and answer greedily."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = {}
    for prompt in ASKED:
        ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, attention_mask=ids * 0 + 1, max_new_tokens=12, do_sample=False)
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        texts[prompt.id] = text.partition("\nQuestion:")[0].strip()
    return texts


def test_the_merged_model_is_bit_for_bit_the_one_that_answered(student: Any, start: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    expected = answered(student.complete(start, ASKED, Generation(12)))
    student.export(start, tmp_path / "m", merge=True)
    assert answers(tmp_path / "m") == expected
    written = load_file(tmp_path / "m" / "model.safetensors")
    generating = student.models.generator(start).state_dict()
    assert all(torch.equal(generating[name], tensor) for name, tensor in written.items())
    assert expected != answered(student.complete(None, ASKED, Generation(12)))
    assert not list((tmp_path / "m").glob("*.bin"))


def test_the_exported_adapter_finds_its_base(student: Any, start: Path, tmp_path: Path) -> None:
    student.export(start, tmp_path / "a", merge=False)
    assert not (tmp_path / "a" / "model.safetensors").exists()
    unmerged = answers(tmp_path / "a")
    merged = answered(student.complete(start, ASKED, Generation(12)))
    assert sum(unmerged[key] == merged[key] for key in merged) >= 6, "only rounding tells them apart"


@pytest.mark.parametrize("merge", [False, True])
def test_the_untouched_base_is_written_whole(student: Any, tmp_path: Path, merge: bool) -> None:
    student.export(None, tmp_path / "b", merge=merge)
    assert answers(tmp_path / "b") == answered(student.complete(None, ASKED, Generation(12)))


def test_sampling_habits_and_penalties_are_left_behind(
    tiny: Path, make_student: Callable[..., Any], tmp_path: Path
) -> None:
    student = make_student(tiny)
    habits = student.models.base().generation_config
    habits.repetition_penalty, habits.do_sample, habits.temperature = 1.3, True, 0.6
    student.export(None, tmp_path / "b", merge=True)
    written = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert written["eos_token_id"] == 2
    assert not {"repetition_penalty", "do_sample", "temperature"} & set(written)


def test_a_4_bit_student_exports_full_precision(
    tiny: Path, make_student: Callable[..., Any], student: Any, start: Path, tmp_path: Path
) -> None:
    make_student(tiny, quantize="nf4").export(start, tmp_path / "q", merge=True)
    student.export(start, tmp_path / "f", merge=True)
    names = ("model.safetensors", "generation_config.json")
    for name in names:
        assert (tmp_path / "q" / name).read_bytes() == (tmp_path / "f" / name).read_bytes()


def test_another_adapter_takes_the_place_of_the_merged_one(student: Any, start: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    once = answered(student.complete(start, ASKED, Generation(12)))
    copy = tmp_path / "copy"
    shutil.copytree(start, copy)
    tensors = load_file(copy / "adapter_model.safetensors")
    save_file({name: tensor * 0 for name, tensor in tensors.items()}, copy / "adapter_model.safetensors")
    os.utime(copy / "adapter_model.safetensors")
    assert answered(student.complete(copy, ASKED, Generation(12))) == answered(
        student.complete(None, ASKED, Generation(12))
    )
    assert answered(student.complete(start, ASKED, Generation(12))) == once


def test_a_folder_without_an_adapter_is_one_clear_line(student: Any, tmp_path: Path) -> None:
    for call in (
        lambda: list(student.complete(tmp_path, ASKED, Generation(2))),
        lambda: student.export(tmp_path, tmp_path / "o", merge=False),
        lambda: student.export(tmp_path, tmp_path / "o", merge=True),
    ):
        with pytest.raises(ModelError, match="is not an adapter folder"):
            call()


def test_a_full_disk_is_an_os_error_with_its_number(student: Any, tmp_path: Path) -> None:
    import resource

    from sitkit_hf.checkpoints import DISK_FULL

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large|No space left") as raised:
            student.export(None, tmp_path / "m", merge=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno in DISK_FULL
