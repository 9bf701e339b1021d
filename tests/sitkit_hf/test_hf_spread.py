"""Models over several devices: answers and losses are those of one device. Here the second device is the disk, or none.

What has GPUs was not run: accelerate places layers there by the same map, and brings what they need to them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError, SettingError, SpecError
from sitkit.settings import InstructSettings, RefineSettings, Settings
from sitkit.types import Demonstration, Generation, Objective, PreferencePair, Prompt
from sitkit_hf import loading
from sitkit_hf.kv_cache import is_spread
from tests.completions import answered

PROMPTS = [Prompt(f"p{n}", f"Question: what is {n} plus {n * n}?" + " Think." * (n % 4)) for n in range(10)]
"""Of several lengths, so that rows end and are taken out of the caches at different steps."""


@pytest.fixture
def on_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have device_map=auto come out as it does where one device does not hold the tiny model: half of it elsewhere."""
    places: dict[str, Any] = {
        "model.embed_tokens": "cpu",
        "model.layers.0": "cpu",
        "model.layers.1": "disk",
        "model.norm": "disk",
        "model.rotary_emb": "cpu",
        "lm_head": "disk",
    }
    spread = {"device_map": places, "offload_folder": str(tmp_path / "offload")}
    monkeypatch.setattr(loading, "spread_options", lambda: spread)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_of_a_spread_model_are_those_of_a_whole_one(
    tiny: Path,
    make_student: Callable[..., Any],
    on_two: None,
    temperature: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    generation = Generation(max_new_tokens=12, temperature=temperature, seed=3)
    whole, spread = make_student(tiny), make_student(tiny, device_map="auto")
    with caplog.at_level(logging.WARNING, "sitkit.notices"):
        found = answered(spread.complete(None, PROMPTS, generation))
    assert is_spread(spread.models.base())
    assert found == answered(whole.complete(None, PROMPTS, generation))
    assert "does not fit the GPUs that can be seen here: 6 of its parts" in caplog.text
    assert spread.fingerprint() == whole.fingerprint()


def test_a_model_that_is_partly_outside_is_not_trained(
    tiny: Path,
    make_student: Callable[..., Any],
    on_two: None,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
) -> None:
    with pytest.raises(ModelError, match="does not fit the GPUs that can be seen here, to be trained"):
        make_student(tiny, device_map="auto").instruct(demonstrations, quick, **work)


def test_a_model_on_two_devices_trains_to_the_same_losses(
    tiny: Path,
    make_student: Callable[..., Any],
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: InstructSettings,
    tmp_path: Path,
) -> None:
    # What dropout draws depends on the order of layers and rows, which differs.
    settled = replace(quick, lora_dropout=0.0)

    def losses(name: str, **options: str) -> list[float]:
        student = make_student(tiny, **options)
        if options:
            # As transformers notes it: its trainer then leaves the layers where they are.
            student.models.base().hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
        work = {"scratch": tmp_path / name / "scratch", "seed": 1, "progress": lambda *_: None}
        first = student.instruct(demonstrations, settled, out=tmp_path / name / "first", **work)
        settings = RefineSettings(max_steps=4, batch_size=8, warmup=0.0, learning_rate=1e-3, eval_steps=4)
        work["scratch"] = tmp_path / name / "more"
        second = student.refine(
            tmp_path / name / "first", pairs, Objective(), settings, out=tmp_path / name / "second", **work
        )
        return [row["loss"] for report in (first, second) for row in report.log if "loss" in row]

    expected = losses("whole")
    assert len(expected) > 8
    assert losses("spread", device_map="auto") == pytest.approx(expected, abs=1e-4)


def test_options_that_contradict_it_are_refused(tiny: Path, make_student: Callable[..., Any]) -> None:
    with pytest.raises(SpecError, match="leave device=cpu out"):
        make_student(tiny, device_map="auto", device="cpu")
    student = make_student(tiny, device_map="auto")
    settings = Settings(instruct=InstructSettings(processes=2))
    with pytest.raises(SettingError, match=r"instruct\.processes=2: device_map=auto"):
        student.check(settings, Objective())


def test_what_it_takes_is_spread_over_the_gpus(tiny: Path, make_student: Callable[..., Any]) -> None:
    found = make_student(tiny, device_map="auto").footprint(Settings())
    assert (found.spread, found.training["refine"].spread) == (0, 0)
