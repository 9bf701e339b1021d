"""The curves go to the trackers that are asked for, in files that outlive the training; what is learnt is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import SettingError
from sitkit.settings import InstructSettings, RefineSettings, key_material, resolve
from sitkit.stages.training import refine_material
from sitkit.types import Demonstration, Objective


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


@pytest.mark.parametrize(
    ("report_to", "said"),
    [
        ("tensorbord", "instruct.report_to=tensorbord: no tracker is called 'tensorbord'; did you mean 'tensorboard'"),
        ("tensorboard,nothing", "no tracker is called 'nothing'"),
        ("all", "no tracker is called 'all'"),
        ("", "no tracker is called ''"),
        ("neptune", "neptune is not installed here; run: pip install neptune"),
    ],
)
def test_a_tracker_that_is_not_there_is_one_line(student: Any, report_to: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        student.check(resolve({"train": {"report_to": report_to}}), Objective())


def test_known_trackers_pass(student: Any) -> None:
    for report_to in ("none", "tensorboard", " tensorboard "):
        student.check(resolve({"train": {"report_to": report_to}}), Objective())


def test_trackers_are_no_part_of_the_keys() -> None:
    settings, refine = InstructSettings(), RefineSettings()
    assert key_material(settings) == key_material(replace(settings, report_to="tensorboard"))
    tracked = refine_material(Objective(), replace(refine, report_to="tensorboard"))
    assert refine_material(Objective(), refine) == tracked
    assert key_material(settings) != key_material(replace(settings, processes=2))
