"""A whole run whose answers the stand-in for vLLM generates, beside the same run without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sitkit_tiny
from tests.installed import sitkit


def run(student: str, workspace: Path, site: Path, log: Path) -> None:
    done = sitkit(
        *("run", "--student", student, "--teacher", "tiny", "--train-on", "tiny_cups", "--eval-on", "tiny_cups"),
        *("--limit", "8", "--test-limit", "3", "--workspace", str(workspace)),
        *("--set", "sample.temperature=0", "--set", "sample.max_new_tokens=32", "--set", "evaluate.max_new_tokens=32"),
        *("--set", "instruct.epochs=2", "--set", "refine.max_steps=2", "--set", "refine.warmup=0"),
        path=site,
        VLLM_STAND_IN_LOG=str(log),
    )
    assert done.returncode == 0, done.stderr


def completions(workspace: Path) -> list[str]:
    """What was generated in every stage, without the keys of the stages' folders."""
    files = sorted(path for path in workspace.rglob("*.jsonl") if path.name in ("answers.jsonl", "predictions.jsonl"))
    return sorted(line for path in files for line in path.read_text().splitlines())


@pytest.mark.slow
def test_a_run_through_vllm_takes_turns_with_training_and_comes_to_the_same(tmp_path: Path, vllm_site: Path) -> None:
    log = tmp_path / "calls.jsonl"
    log.touch()
    (tmp_path / "none").mkdir()
    options = f"{sitkit_tiny.STUDENT},device=cpu,dtype=float32"
    run(f"vllm:{options}", tmp_path / "with", vllm_site, log)
    calls = [json.loads(line)["call"] for line in log.read_text().splitlines()]
    # One engine before instruct, one between instruct and refine, one after it: each ended before training starts.
    assert [call for call in calls if call != "generate"] == ["LLM", "shutdown"] * 3
    run(f"hf:{options}", tmp_path / "without", tmp_path / "none", log)
    assert len(log.read_text().splitlines()) == len(calls)
    generated = completions(tmp_path / "with")
    assert generated == completions(tmp_path / "without")
    assert len(generated) == 8 + 3 * 2 * 3
