"""Several training processes: two on a CPU over gloo give what one gives, fail in one line and leave nobody behind."""

from __future__ import annotations

import _thread
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import ModelError
from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Objective, PreferencePair

pytestmark = pytest.mark.slow

INSTRUCT = InstructSettings(
    epochs=3, batch_size=8, micro_batch_size=2, learning_rate=5e-3, lora_r=4, lora_dropout=0.0, max_length=128
)
REFINE = RefineSettings(
    max_steps=6,
    batch_size=4,
    micro_batch_size=2,
    learning_rate=2e-3,
    max_length=128,
    validation=0.34,
    eval_steps=2,
    gradient_checkpointing=True,
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


@pytest.fixture(scope="module")
def fresh(tiny: Path, make_student: Callable[..., Any]) -> Iterator[Any]:
    student = make_student(tiny)
    yield student
    student.close()


@pytest.fixture(scope="module")
def instructed(fresh: Any, demonstrations: Sequence[Demonstration], tmp_path_factory: Any) -> dict[int, Any]:
    """Number of processes -> report, the folder of the adapter, and the progress told."""

    def run(count: int) -> Any:
        folder, told = tmp_path_factory.mktemp(f"processes-{count}"), list[tuple[int, int]]()
        report = fresh.instruct(
            demonstrations,
            replace(INSTRUCT, processes=count),
            out=folder / "out",
            scratch=folder / "scratch",
            seed=1,
            progress=lambda *at: told.append(at),
        )
        return report, folder / "out", told

    return {count: run(count) for count in (1, 2)}


def test_two_processes_instruct_as_one_does(instructed: dict[int, Any]) -> None:
    (one, one_out, _), (two, two_out, told) = instructed[1], instructed[2]
    assert two.steps == one.steps == 9
    assert losses(two, "loss") == pytest.approx(losses(one, "loss"), abs=1e-4)
    assert_close(one_out, two_out)
    assert told[-1] == (9, 9)
    assert two.metrics.keys() == one.metrics.keys()
    assert [row.keys() for row in two.log] == [row.keys() for row in one.log]


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


KILLED = """
import json, sys
from pathlib import Path
from sitkit.spec import Spec
from sitkit.types import Context
import sitkit_hf
from sitkit_hf.processes import read_job

job = read_job(Path(sys.argv[1]))
student = sitkit_hf.hf_student(Spec("hf", str(job.options.folder)), Context())
student.instruct(job.rows, job.settings, out=job.out, scratch=job.scratch, seed=job.seed,
                 progress=lambda done, total: print(done, flush=True))
"""


def processes_of(scratch: Path) -> list[int]:
    """The processes that were started with this scratch folder on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and f"{scratch}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def assert_nobody_is_left(scratch: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := processes_of(scratch)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at /proc")


@needs_proc
def test_a_killed_parent_leaves_nobody_behind_and_the_next_run_ends_with_the_same_bytes(
    fresh: Any,
    instructed: dict[int, Any],
    demonstrations: Sequence[Demonstration],
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
) -> None:
    from sitkit_hf.processes import TrainingJob, write_job

    settings, scratch = replace(INSTRUCT, processes=2, save_steps=2), tmp_path / "scratch"
    job = TrainingJob(
        stage="instruct",
        options=fresh.options,
        settings=settings,
        rows=tuple(demonstrations),
        out=tmp_path / "out",
        scratch=scratch,
        seed=1,
    )
    write_job(job, tmp_path / "given.json")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "given.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        while (line := parent.stdout.readline()) and int(line) < 4:
            pass
        assert len(processes_of(scratch)) >= 3
        parent.send_signal(signal.SIGKILL)
    assert_nobody_is_left(scratch, 15)
    assert any(scratch.glob("checkpoint-*"))
    first: list[int] = []
    fresh.instruct(
        demonstrations, settings, out=job.out, scratch=scratch, seed=1, progress=lambda done, _: first.append(done)
    )
    # Killed behind its last step, a training has none left to tell of.
    assert not first or 2 <= first[0] <= 8
    assert read_adapter(job.out) == read_adapter(instructed[2][1])


@needs_proc
def test_an_interrupt_ends_the_processes(fresh: Any, demonstrations: Sequence[Demonstration], tmp_path: Path) -> None:
    def press() -> None:
        while len(processes_of(tmp_path / "scratch")) < 3:
            time.sleep(0.1)
        _thread.interrupt_main()

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        fresh.instruct(
            demonstrations,
            # More than they could finish by themselves.
            replace(INSTRUCT, processes=2, epochs=1000),
            out=tmp_path / "out",
            scratch=tmp_path / "scratch",
            seed=1,
            progress=lambda *_: None,
        )
    assert_nobody_is_left(tmp_path / "scratch", 0)


@needs_proc
def test_an_error_in_the_processes_comes_back_as_itself(
    fresh: Any, pairs: Sequence[PreferencePair], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"nowhere is not an adapter folder: it has no adapter_config\.json$"):
        fresh.refine(
            tmp_path / "nowhere",
            pairs,
            Objective(),
            replace(REFINE, processes=2),
            out=tmp_path / "out",
            scratch=tmp_path / "scratch",
            seed=1,
            progress=lambda *_: None,
        )
    assert_nobody_is_left(tmp_path / "scratch", 0)


def test_damage_to_a_checkpoint_of_several_processes_is_named_and_passed_over(
    fresh: Any,
    instructed: dict[int, Any],
    demonstrations: Sequence[Demonstration],
    tmp_path: Path,
    read_adapter: Callable[[Path], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def train() -> list[int]:
        told: list[int] = []
        fresh.instruct(
            demonstrations,
            replace(INSTRUCT, processes=2, save_steps=4),
            out=tmp_path / "out",
            scratch=tmp_path / "scratch",
            seed=1,
            progress=lambda done, _: told.append(done),
        )
        return told

    train()
    state = tmp_path / "scratch" / "checkpoint-9" / "rng_state_1.pth"
    state.write_bytes(state.read_bytes()[:-100])
    assert train()[0] == 8
    (said,) = caplog.messages
    assert said == (
        "instruct: damaged on disk and removed: checkpoint-9 (rng_state_1.pth has changed);"
        " the training goes on from checkpoint-8"
    )
    assert read_adapter(tmp_path / "out") == read_adapter(instructed[2][1])
