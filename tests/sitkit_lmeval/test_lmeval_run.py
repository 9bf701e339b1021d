"""A whole run, taught by a real model through lm-eval's own backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.installed import sitkit


@pytest.mark.slow
def test_a_run_is_taught_through_lm_eval(tmp_path: Path) -> None:
    import sitkit_tiny

    def run(limit: int) -> str:
        done = sitkit(
            "run",
            *("--teacher", f"lm-eval:hf,pretrained={sitkit_tiny.STUDENT},dtype=float32,batch_size=4"),
            *("--student", "tiny", "--train-on", "tiny_cups", "--eval-on", "tiny_cups"),
            *("--limit", str(limit), "--test-limit", "2", "--workspace", str(tmp_path / "ws")),
            *("--set", "annotate.keep=all", "--set", "annotate.max_new_tokens=96", "--set", "instruct.epochs=1"),
            *("--set", "refine.max_steps=1", "--set", "refine.warmup=0"),
            path=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    run(6)
    (stored,) = (tmp_path / "ws").rglob("annotate/*/demonstrations.jsonl")
    rows = [json.loads(line) for line in stored.read_text().splitlines()]
    assert len(rows) == 6
    assert all("cup" in row["completion"] for row in rows)
    # A larger limit asks the backend only for what it has not answered yet; the first answers stay as they are.
    run(8)
    grown = [path for path in (tmp_path / "ws").rglob("annotate/*/demonstrations.jsonl") if path != stored]
    longer = [json.loads(line) for path in grown for line in path.read_text().splitlines()]
    assert len(longer) == 8
    assert {row["question_id"]: row for row in longer}.items() >= {row["question_id"]: row for row in rows}.items()
