"""What the card of an exported student says is done: its code and its lm_eval command are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sitkit_tiny.benchmarks import questions

pytestmark = pytest.mark.slow

RUN = ["--limit", "16", "--test-limit", "8", "--set", "instruct.epochs=1", "--set", "refine.max_steps=2"]
RUN += ["--train-on", "tiny_chain", "--eval-on", "file:shop.jsonl,tiny_chain"]
TASKS = {"adapter": "sit_tiny_chain_cot", "my model": "sit_shop_cot"}
"""What the card of each export asks first: one has the own questions in it, the other not."""


def _do(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # `sitkit` and `lm_eval` are those beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        arguments,
        cwd=cwd,
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace w, an adapter and a whole model, of a run scored on own questions too."""
    folder = tmp_path_factory.mktemp("card")
    asked = [{"question": one.question, "answer": one.target} for one in questions("tiny_shop", "test")[:12]]
    (folder / "shop.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    sitkit = (sys.executable, "-m", "sitkit")
    _do(*sitkit, "run", *RUN, "--quiet", "--name", "small", "--workspace", "w", cwd=folder)
    _do(*sitkit, "export", "small", "adapter", "--no-questions", "--workspace", "w", cwd=folder)
    _do(*sitkit, "export", "small", "my model", "--merge", "--workspace", "w", cwd=folder)
    return folder


def _blocks(place: Path, name: str) -> list[tuple[str, str]]:
    text = (place / name / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _base(place: Path) -> str:
    found: str = json.loads((place / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    return found


def test_the_python_of_the_cards_loads_and_answers(place: Path) -> None:
    codes = {
        name: "\n".join(block for kind, block in _blocks(place, name) if kind == "python")
        for name in ("adapter", "my model")
    }
    assert "AutoPeftModelForCausalLM" in codes["adapter"]
    assert "AutoPeftModelForCausalLM" not in codes["my model"]
    # One process for both: loading the libraries takes longer than what is tested.
    said = _do(sys.executable, "-c", "\n".join([codes["adapter"], "print('=' * 9)", codes["my model"]]), cwd=place)
    answers = [answer.strip() for answer in said.stdout.split("=" * 9)]
    assert len(answers) == 2
    assert all(answers), "both print an answer"


@pytest.mark.parametrize("name", ["adapter", "my model"])
def test_the_lm_eval_command_of_the_card_gives_its_accuracy(place: Path, name: str) -> None:
    from huggingface_hub import ModelCard

    (command,) = (block for _, block in _blocks(place, name) if block.startswith("lm_eval"))
    command = command.replace("BASE", _base(place)).rstrip() + " --output_path told --device cpu"
    cache = {"LM_HARNESS_CACHE_PATH": str(place / "cache")}
    _do("bash", "-ec", command, cwd=place, SITKIT_WORKSPACE=str(place / "w"), **cache)
    newest = max((place / "told").rglob("results_*.json"), key=lambda path: path.stat().st_mtime)
    plain: dict[str, Any] = json.loads(newest.read_text())["results"][TASKS[name]]
    results = ModelCard.load(place / name / "README.md").data.eval_results
    asked = [one for one in results if f"sit_{one.dataset_type}_cot" == TASKS[name]]
    (expected,) = (one for one in asked if one.metric_args["prompting"] == "cot")
    if name == "adapter":
        # Rounding differs where the adapter is not merged: one of eight answers may.
        assert abs(plain["accuracy,none"] - expected.metric_value) <= 1 / 8
    else:
        assert plain["accuracy,none"] == expected.metric_value
        assert plain["accuracy_stderr,none"] == expected.metric_args["stderr"]


@pytest.mark.parametrize("name", ["adapter", "my model"])
def test_no_path_of_this_machine_is_in_a_card(place: Path, name: str) -> None:
    text = (place / name / "README.md").read_text(encoding="utf-8")
    for path in (place, Path(sys.executable).parent, Path(__file__).parents[2], Path.home()):
        assert str(path) not in text
    assert _base(place) not in text
