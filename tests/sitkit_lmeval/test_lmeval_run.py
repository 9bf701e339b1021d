"""A whole run, taught by a real model through lm-eval's own backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sitkit.types import COT_TRIGGER
from tests.installed import sitkit


@pytest.mark.slow
def test_a_run_is_taught_through_lm_eval(tmp_path: Path) -> None:
    import sitkit_tiny

    done = sitkit(
        "run",
        *("--teacher", f"lm-eval:hf,pretrained={sitkit_tiny.STUDENT},dtype=float32,batch_size=4"),
        *("--student", "tiny", "--train-on", "tiny_cups", "--eval-on", "tiny_cups"),
        *("--limit", "6", "--test-limit", "2", "--workspace", str(tmp_path / "ws")),
        *("--set", "annotate.keep=all", "--set", "annotate.max_new_tokens=96", "--set", "instruct.epochs=1"),
        *("--set", "refine.max_steps=1", "--set", "refine.warmup=0"),
        path=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr, "lm-eval's own bars stay off the terminal"
    tables = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (tmp_path / "ws").rglob("annotate/*/demonstrations.jsonl")
    ]
    (demonstrations,) = (rows for rows in tables if COT_TRIGGER in rows[0]["prompt"])
    assert len(demonstrations) == 6
    assert all(row["completion"] for row in demonstrations)
