"""Real runs of the embedded student that are killed, interrupted, run twice at once, or run out of space."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

RUN = [
    "run", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_cups", "--limit", "24", "--test-limit", "12",
    "--set", "instruct.save_steps=1", "--set", "refine.save_steps=1", "--set", "refine.eval_steps=1",
    "--set", "instruct.epochs=2", "--set", "refine.epochs=2", "--set", "instruct.batch_size=8",
    "--set", "refine.batch_size=8", "--name", "r",
]  # fmt: skip


def _command(workspace: Path) -> list[str]:
    return [sys.executable, "-m", "sitkit", *RUN, "--workspace", str(workspace)]


def _start(workspace: Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(workspace), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **more
    )


def _results(workspace: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((workspace / "runs" / "r" / "results.json").read_text())
    return loaded


def _scores(workspace: Path) -> bytes:
    return json.dumps(_results(workspace)["cells"]).encode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run nobody disturbed, and the seconds it took."""
    workspace = tmp_path_factory.mktemp("whole") / "w"
    start = time.monotonic()
    done = subprocess.run(_command(workspace), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return workspace, time.monotonic() - start


def test_killed_at_random_moments_it_ends_with_the_same_scores(whole: tuple[Path, float], tmp_path: Path) -> None:
    reference, seconds = whole
    draw = random.Random(7)
    kills = 0
    for _ in range(4):
        process = _start(tmp_path / "w")
        try:
            process.communicate(timeout=draw.uniform(0.05, 0.9) * seconds)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills > 0
    done = subprocess.run(_command(tmp_path / "w"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _scores(tmp_path / "w") == _scores(reference)
    left = [path.name for path in (tmp_path / "w" / "store").rglob("*") if path.name == "scratch"]
    assert left == []


def test_two_runs_at_once_do_each_stage_once(whole: tuple[Path, float], tmp_path: Path) -> None:
    reference, _ = whole
    first, second = _start(tmp_path / "w"), _start(tmp_path / "w")
    said = [process.communicate()[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    started = [line for text in said for line in text.splitlines() if line.startswith("[")]
    names = [line.partition("] ")[2] for line in started]
    assert sorted(names) == sorted(set(names))
    assert len(names) == len(_results(reference)["stages"])
    assert _scores(tmp_path / "w") == _scores(reference)


def test_ctrl_c_stops_with_one_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    # Whoever starts the tests may have told them to ignore it.
    process, said = _stopped(tmp_path / "w", signal.SIGINT)
    # -2 where CPython 3.11 ends itself by the signal: an interrupt inside exec() of a string is remembered although it
    # was handled. A shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT)
    assert "the same command goes on" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_sigterm_stops_as_ctrl_c_does_and_the_same_command_goes_on(whole: tuple[Path, float], tmp_path: Path) -> None:
    reference, _ = whole
    process, said = _stopped(tmp_path / "w", signal.SIGTERM)
    assert process.returncode == 143
    assert "the same command goes on" in said.splitlines()[-1]
    assert "Traceback" not in said
    done = subprocess.run(_command(tmp_path / "w"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _scores(tmp_path / "w") == _scores(reference)


def _stopped(workspace: Path, number: signal.Signals) -> tuple[subprocess.Popen[str], str]:
    """A run that got a signal while it trained, and the rest of what it said."""
    process = _start(workspace, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stderr is not None
    assert any("instruct" in line for line in iter(process.stderr.readline, ""))
    time.sleep(1)
    process.send_signal(number)
    return process, process.communicate(timeout=60)[1]


def test_a_full_disk_stops_with_one_line_and_loses_nothing(whole: tuple[Path, float], tmp_path: Path) -> None:
    reference, _ = whole

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    process = _start(tmp_path / "w", preexec_fn=small_files)
    _, said = process.communicate()
    assert process.returncode == 2, said
    assert "no space left" in said.splitlines()[-1]
    assert "Traceback" not in said
    done = subprocess.run(_command(tmp_path / "w"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _scores(tmp_path / "w") == _scores(reference)
    assert any(stage["reused"] for stage in _results(tmp_path / "w")["stages"])
