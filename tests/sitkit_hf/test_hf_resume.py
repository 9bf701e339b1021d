from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair
from sitkit_hf import checkpoints

REFINE = RefineSettings(
    max_steps=10, batch_size=8, learning_rate=2e-3, max_length=128, validation=0.2, eval_steps=4, save_steps=3
)

# Imports once, then forks a child for each training; the child kills itself at its step, as kill -9 would.
KILLED = """
import os, pickle, signal, sys
import peft, trl, datasets
from sitkit.spec import Spec
from sitkit.types import Context
import sitkit_hf

jobs = pickle.load(sys.stdin.buffer)
for folder, options, method, arguments, keywords, step in jobs:
    child = os.fork()
    if child == 0:
        def progress(done, total):
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
        student = sitkit_hf.hf_student(Spec("hf", folder, options), Context())
        getattr(student, method)(*arguments, progress=progress, **keywords)
        os._exit(3)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"{method} was not killed: {status}")
"""


def kill(jobs: list[Any]) -> None:
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=pickle.dumps(jobs),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    tiny: Path,
    make_student: Callable[..., Any],
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    pairs: Sequence[PreferencePair],
    quick: InstructSettings,
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
) -> None:
    rng = random.Random()
    four_bit = {"quantize": "nf4"}
    trainings: list[tuple[str, dict[str, str], str, list[Any]]] = [
        ("sft", {}, "instruct", [demonstrations, quick]),
        ("dpo", {}, "refine", [start, pairs, Objective(), REFINE]),
        ("qlora", four_bit, "refine", [start, pairs, Objective(), REFINE]),
    ]
    steps = {name: rng.randrange(6, 10) for name, *_ in trainings}

    def keywords(name: str, kind: str) -> dict[str, Any]:
        return {"out": tmp_path / f"{name}-{kind}", "scratch": tmp_path / f"{name}-{kind}-scratch", "seed": 1}

    kill(
        [
            (str(tiny), options, method, arguments, keywords(name, "killed"), steps[name])
            for name, options, method, arguments in trainings
        ]
    )
    for name, options, method, arguments in trainings:
        own = make_student(tiny, **options) if options else student
        assert not (tmp_path / f"{name}-killed").exists()
        seen: list[int] = []
        resumed = getattr(own, method)(
            *arguments, progress=lambda done, _, seen=seen: seen.append(done), **keywords(name, "killed")
        )
        assert 0 < seen[0] < steps[name], f"{name} started anew after a kill at step {steps[name]}"
        whole = getattr(own, method)(*arguments, progress=lambda *_: None, **keywords(name, "whole"))
        killed, uninterrupted = (read_adapter(tmp_path / f"{name}-{kind}") for kind in ("killed", "whole"))
        assert killed == uninterrupted, f"{name}, killed at step {steps[name]}"
        assert resumed.steps == whole.steps
        assert dict(resumed.metrics) == pytest.approx(dict(whole.metrics), abs=1e-6)


PARTS = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def write_checkpoint(scratch: Path, step: int) -> Path:
    folder = scratch / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for part in PARTS:
        (folder / part).write_text('{"global_step": 5}')
    return folder


@pytest.mark.parametrize("missing", [*PARTS, "half a state"])
def test_a_checkpoint_that_is_not_whole_is_removed(tmp_path: Path, missing: str) -> None:
    before, newest = write_checkpoint(tmp_path, 5), write_checkpoint(tmp_path, 10)
    assert checkpoints.newest(tmp_path) == newest
    if missing == "half a state":
        (newest / "trainer_state.json").write_text('{"global_step": 1')
    else:
        (newest / missing).unlink()
    assert checkpoints.newest(tmp_path) == before
    assert not newest.exists()


def test_training_goes_on_from_the_checkpoint_before_a_half_written_one(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    read_adapter: Callable[[Path], bytes],
) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 12:
            raise Stop

    with pytest.raises(Stop):
        student.instruct(demonstrations, quick, **{**work, "progress": stop})
    (work["scratch"] / "checkpoint-10" / "trainer_state.json").unlink()
    seen: list[int] = []
    student.instruct(demonstrations, quick, **{**work, "progress": lambda done, _: seen.append(done)})
    assert seen[0] == 5
    assert read_adapter(work["out"]) == read_adapter(start)


def test_a_training_killed_after_its_last_checkpoint_only_saves(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    read_adapter: Callable[[Path], bytes],
) -> None:
    report = student.instruct(demonstrations, quick, **work)
    shutil.rmtree(work["out"])
    again = student.instruct(demonstrations, quick, **work)
    assert read_adapter(work["out"]) == read_adapter(start)
    assert (again.steps, dict(again.metrics)) == (report.steps, dict(report.metrics))


def test_a_training_that_ends_within_an_epoch_takes_no_step_more_after_a_kill(
    student: Any,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    read_adapter: Callable[[Path], bytes],
) -> None:
    within = replace(quick, batch_size=4, max_steps=3, save_steps=1)
    report = student.instruct(demonstrations, within, **work)
    assert report.steps * 4 % len(demonstrations) != 0
    first = read_adapter(work["out"])
    shutil.rmtree(work["out"])
    again = student.instruct(demonstrations, within, **work)
    assert again.steps == report.steps
    assert read_adapter(work["out"]) == first


def test_only_checkpoints_are_looked_at(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "missing") is None
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoints.newest(tmp_path) is None
    assert (tmp_path / "notes.txt").exists()
