from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SettingError
from sitkit.settings import InstructSettings
from sitkit.types import Demonstration, Generation, Prompt
from tests.completions import answered


def weights(model: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def mean_loss(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> float:
    """The negative log-likelihood per completion token, computed by hand."""
    import torch

    total, count = 0.0, 0
    for head, tail in rows:
        with torch.no_grad():
            log_probs = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
        total -= sum(float(log_probs[len(head) + place - 1, token]) for place, token in enumerate(tail))
        count += len(tail)
    return total / count


def test_the_loss_is_that_of_the_completion_and_its_end_token(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    settings = InstructSettings(epochs=1, batch_size=24, lora_r=4, max_length=128)
    report = student.instruct(demonstrations, settings, **work)
    tokenizer = student.models.tokenizer()
    rows = [(tokenizer(d.prompt)["input_ids"], tokenizer(f" {d.completion}</s>")["input_ids"]) for d in demonstrations]
    assert rows[0][1][-1] == tokenizer.eos_token_id
    # Before its first step a LoRA adapter changes nothing.
    assert report.metrics["first_loss"] == pytest.approx(mean_loss(student.models.base(), rows), abs=1e-4)
    assert report.metrics["tokens"] == sum(len(head) + len(tail) for head, tail in rows)


def test_it_learns_reports_and_says_nothing(
    student: Any,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    seen: list[tuple[int, int]] = []
    report = student.instruct(demonstrations, quick, **{**work, "progress": lambda *step: seen.append(step)})
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert report.steps == 24
    assert seen[0] == (0, 24)
    assert seen[-1] == (24, 24)
    assert len(report.log) == 24
    assert report.metrics["last_loss"] < report.metrics["first_loss"] - 1
    assert all(isinstance(value, float) for row in report.log for value in row.values())
    json.dumps([dict(report.metrics), list(report.log)])
    assert {path.name for path in work["out"].iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((work["out"] / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    linear = {"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == linear
    assert config["target_modules"] == sorted(config["target_modules"])


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
) -> None:
    import torch

    def run(name: str, seed: int) -> bytes:
        student.instruct(
            demonstrations, quick, out=tmp_path / name, scratch=tmp_path / f"{name}s", seed=seed, progress=lambda *_: 0
        )
        return read_adapter(tmp_path / name)

    torch.rand(3)
    assert run("same", 1) == read_adapter(start)
    assert run("other", 2) != read_adapter(start)


def test_the_base_is_as_it_was_after_everything(
    make_model: Callable[..., Path],
    make_student: Callable[..., Any],
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[Any],
    tmp_path: Path,
) -> None:
    import torch

    from sitkit.settings import RefineSettings
    from sitkit.types import Objective

    student = make_student(make_model(dropout=0.1))
    base = student.models.base()
    before, config, generation = weights(base), base.config.to_dict(), base.generation_config.to_dict()
    layers = {name: type(module) for name, module in base.named_modules()}
    attributes, state = set(vars(base)), torch.random.get_rng_state()
    common = {"seed": 1, "progress": lambda *_: None}
    instruct = InstructSettings(epochs=1, batch_size=8, lora_r=4, max_length=128, gradient_checkpointing=True)
    student.instruct(demonstrations, instruct, out=tmp_path / "a", scratch=tmp_path / "as", **common)
    refine = RefineSettings(max_steps=2, batch_size=8, max_length=128, gradient_checkpointing=True)
    student.refine(tmp_path / "a", pairs, Objective(), refine, out=tmp_path / "b", scratch=tmp_path / "bs", **common)
    list(student.complete(tmp_path / "b", [Prompt("1", "Hi")], Generation(4)))
    assert student.models.base() is base
    assert weights(base) == before
    assert {name: type(module) for name, module in base.named_modules()} == layers
    assert set(vars(base)) == attributes
    assert "forward" not in vars(base)
    assert base.config.to_dict() == config
    assert base.generation_config.to_dict() == generation
    assert not base.is_activation_checkpointing
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_out_of_memory_halves_the_batch_and_keeps_the_optimisers(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch
    from safetensors.torch import load_file
    from trl import SFTTrainer

    plain, sizes = SFTTrainer.compute_loss, []

    def small(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "compute_loss", small)
    no_dropout = replace(quick, lora_dropout=0.0, epochs=2)
    report = student.instruct(demonstrations, no_dropout, **work)
    assert report.metrics["micro_batch_size"] == 2
    assert report.steps == 6
    assert [size for size in sizes if size > 3] == [8, 4]
    monkeypatch.undo()
    whole = work["out"].parent / "whole"
    student.instruct(demonstrations, no_dropout, **{**work, "out": whole, "scratch": whole / "s"})
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (work["out"], whole))
    assert all(torch.allclose(one[name], other[name], atol=2e-4) for name in one)


def test_one_example_that_does_not_fit_is_one_clear_line(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    def never(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(SFTTrainer, "compute_loss", never)
    with pytest.raises(ModelError, match="instruct: memory ran out with one example"):
        student.instruct(demonstrations, InstructSettings(batch_size=2, lora_r=4), **work)


def test_other_errors_of_a_trainer_are_not_swallowed(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        student.instruct(demonstrations, InstructSettings(lora_r=4), **work)


def test_max_steps_ends_before_the_epochs_and_a_long_warm_up_is_told_of(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    settings = InstructSettings(epochs=4, max_steps=2, batch_size=8, lora_r=4, warmup=10)
    report = student.instruct(demonstrations, settings, **work)
    assert report.steps == 2
    assert report.warnings == [
        "the warm-up never ends: all 2 steps are warm-up (instruct.warmup=10), and the learning rate reaches 20% of its"
        " peak; lower instruct.warmup"
    ]


def test_long_examples_are_cut_or_left_out_and_counted(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    long = [
        replace(demonstrations[0], prompt="x" * 90),
        replace(demonstrations[1], completion="y" * 90),
        *demonstrations[2:8],
    ]
    report = student.instruct(long, InstructSettings(epochs=1, lora_r=4, max_length=64), **work)
    assert (report.metrics["left_out"], report.metrics["cut"], report.metrics["examples"]) == (1, 1, 7)
    assert [warning.split(" were ")[0] for warning in report.warnings] == ["1 examples", "1 examples"]
    with pytest.raises(ModelError, match="no example is left"):
        student.instruct(long[:1], InstructSettings(lora_r=4, max_length=64), **work)


def test_what_cannot_be_is_said_before_training(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    with pytest.raises(SettingError, match=r"instruct\.scheduler=cosin: .*'cosine'"):
        student.instruct(demonstrations, InstructSettings(scheduler="cosin"), **work)
    with pytest.raises(ModelError, match="flash attention"):
        student.instruct(demonstrations, InstructSettings(packing=True), **work)


@pytest.mark.parametrize("processes", [1, 2])
def test_without_demonstrations_the_adapter_changes_nothing(student: Any, work: dict[str, Any], processes: int) -> None:
    report = student.instruct([], InstructSettings(lora_r=4, processes=processes), **work)
    assert report.steps == 0
    asked = [Prompt(f"{n}", f"{n}+1?") for n in range(4)]
    generation = Generation(max_new_tokens=8)
    assert answered(student.complete(work["out"], asked, generation)) == answered(
        student.complete(None, asked, generation)
    )


def test_a_loss_that_is_no_number_ends_the_training(
    student: Any, demonstrations: Sequence[Demonstration], work: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    plain = SFTTrainer.compute_loss
    monkeypatch.setattr(SFTTrainer, "compute_loss", lambda *args, **kwargs: plain(*args, **kwargs) * float("nan"))
    with pytest.raises(ModelError, match=r"lower instruct\.learning_rate"):
        student.instruct(demonstrations, InstructSettings(lora_r=4), **work)


def test_a_full_disk_is_an_os_error_with_its_number(
    student: Any, demonstrations: Sequence[Demonstration], quick: InstructSettings, work: dict[str, Any]
) -> None:
    import errno
    import resource

    from sitkit_hf.checkpoints import DISK_FULL

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large|No space left") as raised:
            student.instruct(demonstrations, quick, **work)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno in DISK_FULL, errno.errorcode[raised.value.errno or 0]


def test_a_checkpoint_that_cannot_be_written_is_told_as_a_full_disk(tmp_path: Path) -> None:
    import resource

    import torch
    from safetensors.torch import save_file

    from sitkit_hf.checkpoints import DISK_FULL, disk_errors

    weights = {"w": torch.zeros(100_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for write in (torch.save, save_file):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(OSError, match=r"File too large|No space left") as raised, disk_errors():
                write(weights, str(tmp_path / "w"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert raised.value.errno in DISK_FULL


def test_a_chat_model_learns_in_its_template(
    chatty: Path, make_student: Callable[..., Any], demonstrations: Sequence[Demonstration], work: dict[str, Any]
) -> None:
    student = make_student(chatty)
    report = student.instruct(demonstrations, InstructSettings(epochs=1, batch_size=24, lora_r=4), **work)
    tokenizer = student.models.tokenizer()
    rows = [
        (
            tokenizer(f"<|user|>{d.prompt}</s>\n<|assistant|>")["input_ids"],
            tokenizer(f"{d.completion}</s>")["input_ids"],
        )
        for d in demonstrations
    ]
    assert report.metrics["first_loss"] == pytest.approx(mean_loss(student.models.base(), rows), abs=1e-4)
