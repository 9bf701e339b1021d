"""A plan on a local Ray of two CPUs: the same artifacts, and a worker that is killed changes nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("ray", reason='Ray is not installed: pip install "sitkit[ray]"')
pytestmark = pytest.mark.slow

ARGUMENTS = [
    "run", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_cups", "--limit", "24", "--test-limit", "12",
    "--seeds", "2", "--set", "train.max_steps=6", "--set", "train.warmup=0", "--name", "one",
]  # fmt: skip


def _started(workspace: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sitkit", *ARGUMENTS, "--workspace", str(workspace), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _results(workspace: Path) -> Any:
    return json.loads((workspace / "runs" / "one" / "results.json").read_text())


def _lanes(parent: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            if "Lane" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ray_gives_the_same_scores_although_a_worker_is_killed(tmp_path: Path) -> None:
    here = _started(tmp_path / "here")
    said, _ = here.communicate(timeout=300)
    assert here.returncode == 0, said

    there = _started(tmp_path / "there", "--executor", "ray")
    killed = False
    while there.poll() is None and not killed:
        busy = list((tmp_path / "there" / "store").glob("instruct/*/scratch/*"))
        if busy and (lanes := _lanes(there.pid)):
            for lane in lanes:
                lane.kill()
            killed = True
        time.sleep(0.05)
    said, _ = there.communicate(timeout=300)
    assert there.returncode == 0, said
    assert killed
    assert "died; the stage goes on in another one" in said
    assert _results(tmp_path / "there")["scores"] == _results(tmp_path / "here")["scores"]
    keys = [[stage["key"] for stage in _results(tmp_path / where)["stages"]] for where in ("here", "there")]
    assert keys[0] == keys[1]


def test_an_error_in_a_worker_is_the_same_line(tmp_path: Path) -> None:
    command = _started(tmp_path, "--executor", "ray", "--teacher", "tiny,slip_rate=1")
    said, _ = command.communicate(timeout=200)
    assert command.returncode == 2, said
    assert "demonstrations can be trained on" in said.splitlines()[-1]
