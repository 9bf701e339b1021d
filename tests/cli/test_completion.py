"""Shell completion: commands, option values and runs, as the shell asks for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sitkit
from sitkit.cli.main import run


def _completed(words: str, cwd: Path, shell: str = "bash") -> list[str]:
    at = len(words.split()) - (0 if words.endswith(" ") else 1)
    asked = {"_SITKIT_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    program = Path(sys.executable).with_name("sitkit")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "sitkit"]
    done = subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True, check=False, cwd=cwd, timeout=60
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace of two runs, under the default name and under another."""
    folder = tmp_path_factory.mktemp("completion")
    for name in ("sitkit-workspace/runs/first", "sitkit-workspace/runs/final", "other/runs/elsewhere"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("sitkit ru", ["run", "runs"]),
        ("sitkit run --strateg", ["--strategy"]),
        ("sitkit run --student ti", ["tiny"]),
        ("sitkit run --strategy dpo-c", ["dpo-cot"]),
        ("sitkit run --train-on tiny_chain,tiny_cu", ["tiny_chain,tiny_cups"]),
        ("sitkit report fi", ["final", "first"]),
        ("sitkit report --workspace other ", ["elsewhere"]),
        ("sitkit compare first fin", ["final"]),
        ("sitkit export nothing", []),
    ],
)
def test_a_word_is_completed(folder: Path, words: str, found: list[str]) -> None:
    assert _completed(words, folder) == found


def test_zsh_and_fish_get_their_scripts(folder: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "sitkit"],
            env={**os.environ, "_SITKIT_COMPLETE": f"{shell}_source"},
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        assert "_SITKIT_COMPLETE" in done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["run", "-h"], ["runs", "-h"]])
def test_help_has_a_short_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: sitkit")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"sitkit {sitkit.__version__}\n"
