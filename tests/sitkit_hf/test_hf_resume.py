from __future__ import annotations

import json
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
from sitkit_hf.refine import hold_out

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
        assert json.dumps(resumed.log) == json.dumps(whole.log), name
        assert dict(resumed.metrics) == dict(whole.metrics)


@pytest.fixture(scope="module")
def stopped(
    student: Any, demonstrations: Sequence[Demonstration], quick: InstructSettings, tmp_path_factory: Any
) -> Path:
    """What a training leaves that ended after step 12 of 24: its checkpoints of steps 5 and 10."""

    class Stop(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 12:
            raise Stop

    folder: Path = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Stop):
        student.instruct(demonstrations, quick, out=folder / "out", scratch=folder / "scratch", seed=1, progress=stop)
    return folder / "scratch"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "half an optimiser": ("optimizer.pt", cut),
    "a bit of the optimiser": ("optimizer.pt", flip),
    "an empty adapter": ("adapter_model.safetensors", lambda path: path.write_bytes(b"")),
    "a bit of the adapter": ("adapter_model.safetensors", flip),
    "half of the random state": ("rng_state.pth", cut),
    "half a state": ("trainer_state.json", cut),
    "no schedule": ("scheduler.pt", Path.unlink),
    "no optimiser, as if it had never been": (
        "optimizer.pt",
        lambda path: (path.unlink(), checkpoints.seal(path.parent)),
    ),
    "half a manifest": ("digests.json", cut),
    "a list as manifest": ("digests.json", lambda path: path.write_text("[1]")),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    name, spoil = DAMAGES[what]
    scratch = shutil.copytree(stopped, tmp_path / "scratch")
    assert checkpoints.newest(scratch, "instruct") == scratch / "checkpoint-10"
    spoil(scratch / "checkpoint-10" / name)
    assert checkpoints.newest(scratch, "instruct") == scratch / "checkpoint-5"
    (said,) = caplog.messages
    assert said.startswith(f"instruct: damaged on disk and removed: checkpoint-10 ({name}")
    assert said.endswith("the training goes on from checkpoint-5")
    assert not (scratch / "checkpoint-10").exists()


def test_a_checkpoint_that_was_not_written_to_its_end_is_no_damage(
    stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scratch = shutil.copytree(stopped, tmp_path / "scratch")
    (scratch / "checkpoint-10" / checkpoints.MANIFEST).unlink()
    assert checkpoints.newest(scratch, "instruct") == scratch / "checkpoint-5"
    assert not (scratch / "checkpoint-10").exists()
    assert not caplog.messages


@pytest.mark.parametrize(("spoilt", "first"), [((10,), 5), ((5, 10), 0)])
def test_a_training_over_damage_ends_with_the_same_bytes(
    student: Any,
    start: Path,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    read_adapter: Callable[[Path], bytes],
    stopped: Path,
    spoilt: tuple[int, ...],
    first: int,
) -> None:
    shutil.copytree(stopped, work["scratch"])
    for step in spoilt:
        flip(work["scratch"] / f"checkpoint-{step}" / "optimizer.pt")
    seen: list[int] = []
    student.instruct(demonstrations, quick, **{**work, "progress": lambda done, _: seen.append(done)})
    assert seen[0] == first
    assert read_adapter(work["out"]) == read_adapter(start)


def contradicted(pairs: Sequence[PreferencePair], share: float) -> list[PreferencePair]:
    """The pairs, those held out turned round: training raises the validation loss, so the first one stays the best."""
    kept, held_out = hold_out(pairs, share, 1)
    return [*kept, *(replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in held_out)]


def test_without_its_best_checkpoint_a_refining_goes_back_before_it(
    student: Any,
    start: Path,
    pairs: Sequence[PreferencePair],
    work: dict[str, Any],
    read_adapter: Callable[[Path], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = replace(REFINE, warmup=0, eval_steps=3, max_steps=9)
    pairs = contradicted(pairs, settings.validation)
    report = student.refine(start, pairs, Objective(), settings, **work)
    assert report.metrics["best_step"] == 3
    whole = read_adapter(work["out"])
    shutil.rmtree(work["out"])
    cut(work["scratch"] / "checkpoint-3" / "adapter_model.safetensors")
    seen: list[int] = []
    again = {**work, "progress": lambda done, _: seen.append(done)}
    student.refine(start, pairs, Objective(), settings, **again)
    assert seen[0] == 0
    (said,) = [message for message in caplog.messages if "damaged" in message]
    assert "checkpoint-9 (needs checkpoint-3)" in said
    assert said.endswith("starts anew")
    assert read_adapter(work["out"]) == whole


def test_the_curve_is_the_same_to_the_byte_after_a_kill(
    student: Any,
    demonstrations: Sequence[Demonstration],
    quick: InstructSettings,
    work: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 12:
            raise Stop

    # A row of the curve for every three steps, so that checkpoints lie between rows.
    monkeypatch.setattr("sitkit_hf.training.CURVE_ROWS", 8)
    whole = student.instruct(demonstrations, quick, **{**work, "out": tmp_path / "w", "scratch": tmp_path / "ws"})
    with pytest.raises(Stop):
        student.instruct(demonstrations, quick, **{**work, "progress": stop})
    resumed = student.instruct(demonstrations, quick, **work)
    assert json.dumps(resumed.log) == json.dumps(whole.log)
    assert json.dumps(dict(resumed.metrics)) == json.dumps(dict(whole.metrics))


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
    assert checkpoints.newest(tmp_path / "missing", "instruct") is None
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoints.newest(tmp_path, "instruct") is None
    assert (tmp_path / "notes.txt").exists()
