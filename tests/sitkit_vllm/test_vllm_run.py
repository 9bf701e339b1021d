"""A whole run whose answers the stand-in for vLLM generates, beside the same run without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sitkit_tiny
from tests.installed import sitkit


@pytest.mark.slow
def test_a_run_through_vllm_takes_turns_with_training(tmp_path: Path, vllm_site: Path) -> None:
    log = tmp_path / "calls.jsonl"
    log.touch()
    done = sitkit(
        *("run", "--student", f"vllm:{sitkit_tiny.STUDENT},device=cpu,dtype=float32", "--teacher", "tiny"),
        *("--train-on", "tiny_cups", "--eval-on", "tiny_cups", "--limit", "8", "--test-limit", "3"),
        *("--set", "sample.temperature=0", "--set", "sample.max_new_tokens=32", "--set", "evaluate.max_new_tokens=32"),
        *("--set", "instruct.epochs=2", "--set", "refine.max_steps=2", "--set", "refine.warmup=0"),
        *("--workspace", str(tmp_path / "ws")),
        path=vllm_site,
        VLLM_STAND_IN_LOG=str(log),
    )
    assert done.returncode == 0, done.stderr
    assert "vLLM is not installed" not in done.stderr
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    # One engine before instruct, one between instruct and refine, one after it: each ended before training starts,
    # and one at a time, or the stand-in would have refused.
    engines = [call for call in calls if call["call"] != "generate"]
    assert [call["call"] for call in engines] == ["LLM", "shutdown"] * 3
    assert [call["enable_lora"] for call in engines if call["call"] == "LLM"] == [False, True, True]
    files = (tmp_path / "ws").rglob("*.jsonl")
    rows = {path.name: len(path.read_text().splitlines()) for path in files if path.name == "answers.jsonl"}
    assert rows == {"answers.jsonl": 8}
    assert sum(call["prompts"] for call in calls if call["call"] == "generate") == 8 * 2 + 3 * 2 * 3
