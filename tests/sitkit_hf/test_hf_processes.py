"""Several training processes: two on a CPU over gloo give what one gives, fail in one line and leave nobody behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair

pytestmark = pytest.mark.slow

INSTRUCT = InstructSettings(
    epochs=3, batch_size=8, micro_batch_size=2, learning_rate=5e-3, lora_r=4, lora_dropout=0.0, max_length=128
)
REFINE = RefineSettings(
    max_steps=6, batch_size=4, micro_batch_size=2, learning_rate=2e-3, max_length=128, validation=0.34, eval_steps=2
)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def assert_close(one: Path, two: Path) -> None:
    import torch

    left, right = weights(one), weights(two)
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=2e-4, rtol=2e-3)


def losses(report: Any, key: str) -> list[float]:
    return [row[key] for row in report.log if key in row]


@pytest.fixture
def fresh(tiny: Path, make_student: Callable[..., Any]) -> Iterator[Any]:
    student = make_student(tiny)
    yield student
    student.close()


def test_two_processes_instruct_as_one_does(
    fresh: Any, demonstrations: Sequence[Demonstration], tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    reports = {
        count: fresh.instruct(
            demonstrations,
            replace(INSTRUCT, processes=count),
            out=tmp_path / f"{count}",
            scratch=tmp_path / f"scratch-{count}",
            seed=1,
            progress=lambda *at: done.append(at),
        )
        for count in (1, 2)
    }
    assert reports[2].steps == reports[1].steps == 9
    assert losses(reports[2], "loss") == pytest.approx(losses(reports[1], "loss"), abs=1e-4)
    assert_close(tmp_path / "1", tmp_path / "2")
    assert done[-1] == (9, 9)
    assert reports[2].metrics.keys() == reports[1].metrics.keys()


def test_two_processes_refine_as_one_does(
    fresh: Any, start: Path, pairs: Sequence[PreferencePair], tmp_path: Path
) -> None:
    reports = {
        count: fresh.refine(
            start,
            pairs,
            Objective(),
            replace(REFINE, processes=count),
            out=tmp_path / f"{count}",
            scratch=tmp_path / f"scratch-{count}",
            seed=1,
            progress=lambda *_: None,
        )
        for count in (1, 2)
    }
    for key in ("loss", "eval_loss"):
        assert losses(reports[2], key) == pytest.approx(losses(reports[1], key), abs=1e-4)
    for key, value in reports[1].metrics.items():
        assert reports[2].metrics[key] == pytest.approx(value, abs=1e-4), key
    assert_close(tmp_path / "1", tmp_path / "2")
