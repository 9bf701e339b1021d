"""The command line: help stays light, bad input is one clear line and exit code 2."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.cli.main import run
from sitkit.registry import load_plugins

HEAVY = ("torch", "transformers", "datasets", "trl", "peft", "lm_eval", "bitsandbytes", "scipy", "numpy", "rich")


def _said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return [line for line in captured.err.splitlines() if line]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["tasks", "path"]])
def test_starting_up_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sitkit.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_of_the_default_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sitkit.cli.main import run\n"
        f"code = run(['run', '--dry-run', '--workspace', {str(tmp_path / 'w')!r}])\n"
        f"heavy = [name for name in {HEAVY[:7]!r} if name in sys.modules]\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing stored yet: 21 stages to run" in done.stdout
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--teacher", "tinny"], "no teacher is called 'tinny'; did you mean 'tiny'"),
        (["--student", "hff:x"], "no student is called 'hff'; did you mean 'hf'"),
        (["--strategy", "dpo-cott"], "did you mean 'dpo-cot'"),
        (["--train-on", "gsm8kk"], "did you mean 'gsm8k'"),
        (["--eval-on", "tiny_chain,gms8k"], "did you mean 'gsm8k'"),
        (["--student", "hf:"], "nothing follows the colon"),
        (["--student", "tiny,what"], "is not a valid SPEC"),
        (["--student", "hf:./nowhere"], "nowhere"),
        (["--teacher", "file:./none.jsonl"], "none.jsonl"),
        (["--set", "instruct.epoch=3"], "did you mean 'epochs'"),
        (["--set", "instruct.epochs=0"], "expected a number above 0"),
        (["--set", "epochs=3"], "expected stage.key=value"),
        (["--set", "refine.loss=sigmod"], "sigmoid"),
        (["--set", "instruct.scheduler=cosin"], "cosine"),
        (["--fraction", "0"], "fraction: expected a number above 0 and at most 1, or a list of such, got 0.0"),
        (["--limit", "0"], "limit: expected a whole number between 1 and 2147483647, got 0"),
        (["--limit", "few"], "expected a whole number, got 'few'"),
        (["--set", "refine.beta=inf"], "expected a number"),
        (["--strategy", "dpo-cot,beta=2"], "takes no options"),
        (["--seed", "-1"], "expected a whole number of at least 0, got '-1'"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        (["--train-on", "gsm8k", "--data-dir", "nowhere"], "nowhere"),
        (["--name", "../up"], "letters, digits"),
        (["--workspace", "a-file/w"], "cannot be written"),
        (["--workspace", ""], "is empty; name a folder"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert run(["run", *arguments]) == 2
    lines = _said(capsys)
    assert said in lines[-1]
    assert lines[-1].startswith(("sitkit: ", "Error: "))
    assert len(lines) == 1 or lines[0].startswith(("Usage:", "["))


def test_help_says_in_words_what_numbers_an_option_takes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in load_plugins().commands:
        assert run([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert not re.search(r"[<>]=?x|x[<>]|RANGE|INTEGER|FLOAT", shown), shown
        assert command != "judge" or "--sample WHOLE NUMBER" in shown


def test_an_unknown_command_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runn"]) == 2
    (said,) = _said(capsys)
    assert said.startswith("sitkit: no command is called 'runn'; did you mean 'run'? (known: ")
    assert "lowresource, matrix, new-plugin, plugins, presets, report, run" in said


def test_settings_lists_what_set_may_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["settings", "refine"]) == 0
    said = capsys.readouterr().out
    assert "learning_rate" in said
    assert "lora_r" not in said
    assert run(["settings", "refin"]) == 2
    assert "did you mean 'refine'" in _said(capsys)[-1]


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--teacher", "tinny", "--debug", "--workspace", str(tmp_path)]) == 2
    assert "Traceback" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(text=st.text(min_size=1, max_size=12), flag=st.sampled_from(["--teacher", "--student", "--strategy", "--set"]))
def test_no_text_gives_a_traceback(text: str, flag: str) -> None:
    assert run(["run", "--dry-run", f"{flag}={text}", "--workspace", "/nowhere"]) in (0, 2)


@pytest.mark.parametrize("command", ["report", "export"])
def test_an_unknown_run_is_one_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [str(tmp_path / "out")] if command == "export" else []
    (tmp_path / "runs" / "first").mkdir(parents=True)
    assert run([command, "frist", *more, "--workspace", str(tmp_path)]) == 2
    assert "did you mean 'first'" in _said(capsys)[-1]


def test_plugins_lists_every_kind_with_distribution_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = {(one["kind"], one["name"]) for one in listed["plugins"]}
    assert {("teacher", "gold"), ("teacher", "file"), ("student", "tiny"), ("student", "hf")} <= names
    assert {("strategy", "dpo-cot"), ("benchmark", "gsm8k"), ("command", "run")} <= names
    assert all(one["summary"] and one["distribution"] and one["version"] for one in listed["plugins"])
    assert listed["broken"] == []


def test_settings_prints_the_schema_of_recipes_and_run_the_defaults_of_plugins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["settings", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["set"]["properties"]["refine"]
    assert run(["run", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "[default: tiny]" in shown
    assert "[default: dpo-cot]" in shown
    assert "[default: tiny_chain,tiny_cups]" in shown
