"""`sitkit matrix` and `sitkit lowresource` with the embedded student, small: killed, gone on with, and reused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SMALL = [
    "--limit", "16", "--test-limit", "8", "--name", "r", "--set", "train.max_steps=3", "--set", "train.warmup=0",
    "--set", "train.batch_size=8", "--set", "train.save_steps=1", "--set", "refine.eval_steps=1",
]  # fmt: skip
MATRIX = ["matrix", "--tasks", "tiny_chain,tiny_cups", *SMALL]
LOW = ["lowresource", "--train-on", "tiny_chain", "--eval-on", "tiny_chain", "--fraction", "0.5", "--fraction", "1"]


def _command(workspace: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sitkit", *arguments, "--workspace", str(workspace)]


def _done(workspace: Path, *arguments: str) -> str:
    done = subprocess.run(_command(workspace, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _results(workspace: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((workspace / "runs" / "r" / "results.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A matrix nobody disturbed, and the seconds it took."""
    workspace = tmp_path_factory.mktemp("matrix") / "w"
    start = time.monotonic()
    _done(workspace, *MATRIX)
    return workspace, time.monotonic() - start


def test_a_matrix_killed_at_random_moments_ends_with_the_same_scores(
    matrix: tuple[Path, float], tmp_path: Path
) -> None:
    whole, seconds = matrix
    draw = random.Random(3)
    for _ in range(2):
        process = subprocess.Popen(
            _command(tmp_path / "w", *MATRIX), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=draw.uniform(0.2, 0.7) * seconds)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    _done(tmp_path / "w", *MATRIX)
    assert json.dumps(_results(tmp_path / "w")["cells"]) == json.dumps(_results(whole)["cells"])


def test_a_matrix_has_every_cell_and_reuses_what_a_single_run_needs(matrix: tuple[Path, float]) -> None:
    workspace, _ = matrix
    results = _results(workspace)
    cot = [row for row in results["cells"] if row["prompting"] == "cot"]
    assert len(cot) == 2 * (1 + 2 + 4)
    assert sum(stage["stage"] == "instruct" for stage in results["stages"]) == 2
    assert (workspace / "runs" / "r" / "report.html").is_file()
    planned = _done(workspace, "run", "--train-on", "tiny_cups", "--refine-on", "tiny_chain", *SMALL, "--dry-run")
    assert "to run" in planned
    # Everything but the scores on the other two tasks is there.
    assert all("evaluate" in line for line in planned.splitlines() if "to run" in line and "stages" not in line)


def test_low_resource_is_one_command_again_reused_without_torch(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    _done(workspace, *LOW, *SMALL)
    refined = {
        (row["fraction"], row["method"])
        for row in _results(workspace)["cells"]
        if (row["phase"], row["prompting"]) == ("refine", "cot")
    }
    assert refined == {(0.5, "both"), (1.0, "both"), (0.5, "refine"), (1.0, "refine")}
    block = (
        "import sys\nsys.modules['torch'] = None\nfrom sitkit.cli.main import run\n"
        f"sys.exit(run({[*LOW, *SMALL, '--workspace', str(workspace)]!r}))\n"
    )
    again = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "All 25 stages were stored" in again.stdout
