"""Which build of torch `make` takes: the CPU build without an NVIDIA driver, never against what the user said."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "torch_index.py"
CPU = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]


@pytest.fixture(scope="module")
def choose() -> Callable[..., tuple[list[str], str]]:
    found: Any = runpy.run_path(str(SCRIPT))["choose"]

    def on_linux(torch: str, *, driver: bool, answers: bool = True, **more: Any) -> tuple[list[str], str]:
        given = {"platform": "linux", "environment": {}, **more}
        chosen: tuple[list[str], str] = found(torch, driver=lambda: driver, answers=lambda: answers, **given)
        return chosen

    return on_linux


@pytest.mark.parametrize(
    ("torch", "driver", "answers", "options", "says"),
    [
        ("auto", False, True, CPU, "no NVIDIA driver was found; make TORCH=cuda takes the CUDA build"),
        ("auto", True, True, [], "make TORCH=cpu takes the CPU build"),
        ("cpu", True, True, CPU, "as TORCH=cpu says"),
        ("cuda", False, True, [], "as TORCH=cuda says"),
        ("auto", False, False, [], "cannot be reached"),
        ("cpu", True, False, [], "cannot be reached"),
    ],
)
def test_the_build_follows_the_choice_and_the_driver(
    choose: Callable[..., Any], torch: str, driver: bool, answers: bool, options: list[str], says: str
) -> None:
    found, line = choose(torch, driver=driver, answers=answers)
    assert found == options
    assert says in line


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"])
def test_pips_own_settings_hold(choose: Callable[..., Any], name: str) -> None:
    found, line = choose("auto", driver=False, environment={name: "https://example.org/simple"})
    assert (found, name in line) == ([], True)
    assert choose("cpu", driver=False, environment={name: "https://example.org/simple"})[0] == CPU


def test_other_systems_have_one_build(choose: Callable[..., Any]) -> None:
    assert choose("auto", driver=False, platform="darwin") == ([], "")


def test_another_word_is_one_line() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "gpu"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "sitkit: TORCH=gpu is not valid: use auto, cpu, cuda\n"


def test_make_hands_the_choice_to_pip(tmp_path: Path) -> None:
    command = ["make", "-n", "-C", str(ROOT), "TORCH=cpu", f"VENV={tmp_path / 'venv'}", "run"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    assert '.ci/torch_index.py "cpu") && ' in done.stdout
    assert "install -qq --progress-bar off $index -r requirements.lock" in done.stdout
