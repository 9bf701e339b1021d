"""The curves go to the trackers that are asked for, in files that outlive the training; what is learnt is the same."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sitkit.settings import InstructSettings, RefineSettings, key_material
from sitkit.stages.training import refine_material
from sitkit.types import Demonstration, Objective
from sitkit_hf.report_to import reporting


@pytest.mark.slow
def test_tensorboard_gets_the_curve_and_the_weights_are_the_same(
    student: Any,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_adapter: Callable[[Path], bytes],
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "trackers"))
    folder = tmp_path / "0123456789abcdef"
    report = student.instruct(
        demonstrations,
        replace(quick, report_to="tensorboard"),
        out=folder / "adapter",
        scratch=folder / "scratch",
        seed=1,
        progress=lambda *_: None,
    )
    assert [path.name for path in (tmp_path / "trackers").iterdir()] == ["instruct-0123456789ab"]
    assert not (folder / "scratch" / "runs").exists()
    events = EventAccumulator(str(tmp_path / "trackers" / "instruct-0123456789ab"))
    events.Reload()
    curve = {row["step"]: row["loss"] for row in report.log if "loss" in row}
    assert {event.step: event.value for event in events.Scalars("train/loss")} == pytest.approx(curve)
    assert read_adapter(folder / "adapter") == read_adapter(start)


def test_a_training_leaves_the_environment_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, seen = list[str](), list[str]()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(finish=lambda: ended.append("wandb")))
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[]))
    settings = InstructSettings(report_to="wandb")
    for own in (None, "mine"):
        monkeypatch.delenv("WANDB_PROJECT", raising=False)
        if own:
            monkeypatch.setenv("WANDB_PROJECT", own)
        before = dict(os.environ)
        with contextlib.suppress(RuntimeError), reporting(trainer, settings):
            seen.append(os.environ["WANDB_PROJECT"])
            raise RuntimeError
        assert dict(os.environ) == before
    assert (seen, ended) == (["sitkit", "mine"], ["wandb", "wandb"])


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"SITKIT_TENSORBOARD": "run/tensorboard"}, "run/tensorboard"),
        ({"SITKIT_TENSORBOARD": "run/tensorboard", "TENSORBOARD_LOGGING_DIR": "own"}, "own"),
        ({}, "runs"),
    ],
)
def test_the_files_of_tensorboard_go_to_the_run_or_where_the_user_says(
    environment: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import TensorBoardCallback

    for name in ("SITKIT_TENSORBOARD", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    callback = TensorBoardCallback()
    trainer = SimpleNamespace(
        callback_handler=SimpleNamespace(callbacks=[callback]), args=SimpleNamespace(run_name="instruct-0")
    )
    with reporting(trainer, InstructSettings(report_to="tensorboard")):
        assert Path(callback.logging_dir) == Path(place) / "instruct-0"


def test_trackers_are_no_part_of_the_keys() -> None:
    settings, refine = InstructSettings(), RefineSettings()
    assert key_material(settings) == key_material(replace(settings, report_to="tensorboard"))
    tracked = refine_material(Objective(), replace(refine, report_to="tensorboard"))
    assert refine_material(Objective(), refine) == tracked
    assert key_material(settings) != key_material(replace(settings, processes=2))
