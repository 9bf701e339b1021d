"""How several training processes are started and listened to, without starting any."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import ModelError, SettingError
from sitkit.settings import InstructSettings, resolve
from sitkit.types import Demonstration, Objective, PreferencePair, TrainingReport
from sitkit_hf import checkpoints
from sitkit_hf.memory import MemoryRanOutError
from sitkit_hf.options import Options
from sitkit_hf.processes import MessageReader, TrainingJob, WorkerMessages, launch, raise_error, read_job, write_job


def test_a_batch_that_cannot_be_shared_is_one_line_before_anything_runs(student: Any) -> None:
    with pytest.raises(SettingError, match=r"^instruct.processes=3: instruct.batch_size=128 is not a multiple of it$"):
        student.check(resolve({"train": {"processes": "3"}}), Objective())
    student.check(resolve({"train": {"processes": "4"}}), Objective())


def test_a_job_is_read_as_it_was_written(
    demonstrations: Sequence[Demonstration], pairs: Sequence[PreferencePair], tmp_path: Path
) -> None:
    settings = resolve({"train": {"processes": 2}})
    options = Options(
        model="/m",
        folder=Path("/m"),
        gguf=Path("/m/a.gguf"),
        recommended=Path("/s.json"),
        quantize="nf4",
        system="Sei kurz: „ja“.",
    )
    places = {"options": options, "out": tmp_path / "out", "scratch": tmp_path, "seed": 7}
    jobs = [
        TrainingJob(stage="instruct", settings=settings.instruct, rows=tuple(demonstrations), **places),
        TrainingJob(
            stage="refine",
            settings=settings.refine,
            rows=tuple(pairs),
            start=tmp_path / "start",
            objective=Objective(("sigmoid", "sft"), (1.0, 0.2), 0.3),
            **places,
        ),
    ]
    for job in jobs:
        write_job(job, tmp_path / "job.json")
        assert read_job(tmp_path / "job.json") == job


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_what_is_told_arrives_whole_and_in_order(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("messages") / "messages"
    messages, reader = WorkerMessages(path), MessageReader(path)
    heard: list[str] = []
    for text in texts:
        messages.notice(text)
        heard += [message["notice"] for message in reader.new()]
    assert heard == texts
    with path.open("ab") as file:
        file.write(b'{"notice": "hal')
    assert list(reader.new()) == []


@pytest.mark.parametrize(
    "error",
    [
        ModelError("no such model"),
        SettingError("no such schedule"),
        MemoryRanOutError(4),
        OSError(errno.ENOSPC, "No space left on device", "/a/b"),
    ],
)
def test_errors_come_back_by_their_class(error: Exception, tmp_path: Path) -> None:
    WorkerMessages(tmp_path / "messages").error(error)
    (message,) = MessageReader(tmp_path / "messages").new()
    with pytest.raises(type(error)) as back:
        raise_error(message)
    assert str(back.value) == str(error)
    assert getattr(back.value, "errno", None) == getattr(error, "errno", None)


def test_an_unforeseen_error_comes_back_as_one_line(tmp_path: Path) -> None:
    WorkerMessages(tmp_path / "messages").error(ValueError("bad\n  shape"))
    (message,) = MessageReader(tmp_path / "messages").new()
    with pytest.raises(RuntimeError, match=r"^ValueError: bad shape$"):
        raise_error(message)


def test_a_report_comes_back(tmp_path: Path) -> None:
    report = TrainingReport(3, {"loss": 0.5}, [{"step": 1.0, "loss": 0.7}], ["warm-up"])
    WorkerMessages(tmp_path / "messages").report(report)
    (message,) = MessageReader(tmp_path / "messages").new()
    assert TrainingReport(**message["report"]) == report


def test_when_memory_runs_out_on_any_all_start_again_with_half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[int] = []

    def attempt(job: TrainingJob, progress: Any) -> TrainingReport:
        tried.append(job.settings.micro_batch_size)
        if len(tried) < 3:
            raise MemoryRanOutError(8 // len(tried))
        return TrainingReport(1, {})

    monkeypatch.setattr("sitkit_hf.processes._attempt", attempt)
    job = TrainingJob(
        stage="instruct",
        options=Options(model="m"),
        settings=InstructSettings(processes=2),
        rows=(),
        out=tmp_path / "out",
        scratch=tmp_path / "scratch",
        seed=1,
    )
    assert launch(job, lambda *_: None).steps == 1
    assert tried == [0, 4, 2]


def test_a_process_that_runs_out_of_memory_says_with_how_many_examples(student: Any, tmp_path: Path) -> None:
    import torch

    from sitkit_hf.training import Job, with_batches_that_fit

    job = Job(
        stage="instruct",
        models=student.models,
        settings=InstructSettings(processes=2, batch_size=24),
        epochs=1,
        out=tmp_path,
        scratch=tmp_path,
        seed=1,
        progress=lambda *_: None,
    )
    assert job.arguments(4)["gradient_accumulation_steps"] == 3

    def attempt(micro: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(MemoryRanOutError) as error:
        with_batches_that_fit(job, 40, attempt)
    assert error.value.micro == 12
    with pytest.raises(ModelError, match="one example at a time"):
        with_batches_that_fit(replace(job, settings=replace(job.settings, micro_batch_size=1)), 40, attempt)


def test_a_checkpoint_of_several_processes_needs_the_random_state_of_each(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"):
        (folder / name).touch()
    (folder / "trainer_state.json").write_text('{"global_step": 4}')
    checkpoints.seal(folder)
    assert checkpoints.damage(folder, 2) == "rng_state_1.pth is missing"
    (folder / "rng_state_1.pth").touch()
    checkpoints.seal(folder)
    assert checkpoints.newest(tmp_path, "instruct", 2) == folder
