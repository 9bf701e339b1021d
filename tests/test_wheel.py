"""The wheel holds everything: installed elsewhere, it runs the embedded world outside the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def test_the_wheel_runs_the_embedded_world_outside_the_checkout(tmp_path: Path) -> None:
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(ROOT)], check=True
    )
    (wheel,) = wheels.glob("sitkit-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def sitkit(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sitkit", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    assert sitkit("tasks", "path").stdout.strip() == str(site / "sitkit" / "tasks")
    limits = ["--limit", "12", "--test-limit", "4", "--train-on", "tiny_cups", "--eval-on", "tiny_cups"]
    done = sitkit("run", *limits, "--set", "instruct.epochs=1", "--set", "refine.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert "Accuracy" in done.stdout
    assert (tmp_path / "sitkit-workspace" / "store").is_dir()
