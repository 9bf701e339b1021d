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

    def run(limit: int) -> None:
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

    def demonstrations() -> list[dict[str, dict[str, object]]]:
        files = sorted((tmp_path / "ws").rglob("annotate/*/demonstrations.jsonl"), key=lambda path: path.stat().st_size)
        tables = [[json.loads(line) for line in path.read_text().splitlines()] for path in files]
        return [{row["question_id"]: row for row in rows} for rows in tables if COT_TRIGGER in rows[0]["prompt"]]

    run(6)
    (six,) = demonstrations()
    assert len(six) == 6
    assert all(row["completion"] for row in six.values())
    # A larger limit asks the backend only for what it has not answered yet; sampled as they are, the first stay.
    run(8)
    _, eight = demonstrations()
    assert len(eight) == 8
    assert eight.items() >= six.items()
