"""Rows read from files and, in name, from the hub; what is wrong is named by file, line and field."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sitkit.answers import is_correct
from sitkit.errors import DataError, SpecError
from sitkit.registry import load_plugins
from sitkit.spec import Spec
from sitkit.types import Benchmark
from tests.sitkit_benchmarks.real_data import DATA, needs_data

BAKER = {
    "question": "A baker fills 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?",
    "answer": "The baker makes 3*12 = <<3*12=36>>36 rolls.\nThere are 36-20 = <<36-20=16>>16 rolls left.\n#### 16",
}
BIG = {"question": "What is 700 times 3?", "answer": "700*3 = <<700*3=2100>>2100.\n#### 2,100"}
BAGS = {"question": " Sam packed 4 bags with 6 apples each. How many apples is that? ", "final_ans": "24"}


def benchmark(name: str, data_dir: Path | None) -> Benchmark:
    return load_plugins().benchmark(name, data_dir)


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_gsm8k_rows_become_questions(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"gsm8k/train{suffix}", [BAKER, BIG])
    made = benchmark("gsm8k", tmp_path)
    first, second = made.questions("train", 0)
    assert (first.id, first.benchmark, first.kind, first.target) == ("gsm8k/train/0", "gsm8k", "number", "16")
    assert first.solution == ("The baker makes 3*12 = 36 rolls.\nThere are 36-20 = 16 rolls left.\nThe answer is 16.")
    assert first.prompt("cot") == (
        "Answer the following mathematical question with numerical solution.\n"
        "Question: A baker fills 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?\n"
        "Answer: Let's think step by step"
    )
    assert second.target == "2100"
    assert (made.domain, made.task("direct"), made.task("cot")) == ("math", "sit_gsm8k_direct", "sit_gsm8k_cot")


def test_multiarith_rows_become_questions(tmp_path: Path) -> None:
    write(tmp_path / "MultiArith/test.jsonl", [BAGS])
    (question,) = benchmark("multiarith", tmp_path).questions("test", 3)
    assert question.question == "Sam packed 4 bags with 6 apples each. How many apples is that?"
    assert (question.id, question.target, question.solution) == ("multiarith/test/0", "24", None)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("{", ["line 2", "JSON"]),
        ("[1]", ["line 2", "object"]),
        ({"answer": "1\n#### 1"}, ["line 2", "'question'", "missing"]),
        ({"question": "q"}, ["line 2", "'answer'", "missing"]),
        ({"question": "q", "answer": 5}, ["line 2", "'answer'", "int"]),
        ({"question": " ", "answer": "1\n#### 1"}, ["line 2", "'question'", "empty"]),
        ({"question": "q", "answer": "no mark 5"}, ["line 2", "'answer'", "####"]),
        ({"question": "q", "answer": "1\n#### five"}, ["line 2", "'answer'", "five"]),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: Any, names: list[str]) -> None:
    path = write(tmp_path / "gsm8k/train.jsonl", [BAKER, row])
    with pytest.raises(DataError) as caught:
        benchmark("gsm8k", tmp_path).questions("train", 0)
    for name in [str(path), *names]:
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_is_none_is_named(tmp_path: Path) -> None:
    write(tmp_path / "MultiArith/test.jsonl", [{"question": "q", "final_ans": "many"}])
    with pytest.raises(DataError, match=r"line 1: field 'final_ans': expected a number, got 'many'"):
        benchmark("multiarith", tmp_path).questions("test", 0)


def test_a_cut_off_gzip_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k/train.jsonl.gz", [BAKER, BIG])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"train\.jsonl\.gz cannot be read"):
        benchmark("gsm8k", tmp_path).questions("train", 0)


def test_a_missing_file_or_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    made = benchmark("gsm8k", tmp_path)
    with pytest.raises(DataError, match=r"looked for .*gsm8k/test\.jsonl\.gz and test\.jsonl"):
        made.questions("test", 0)
    with pytest.raises(DataError, match=r"looked for .*gsm8k/test\.jsonl\.gz"):
        made.fingerprint("test", 0)
    with pytest.raises(DataError, match=r"--data-dir .*nowhere is not a folder"):
        benchmark("gsm8k", tmp_path / "nowhere").questions("test", 0)


def test_the_fingerprint_follows_the_file_and_not_the_seed(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k/train.jsonl", [BAKER])
    made = benchmark("gsm8k", tmp_path)
    before = made.fingerprint("train", 0)
    assert made.fingerprint("train", 1) == before
    write(tmp_path / "gsm8k/train.jsonl", [BIG])
    assert made.fingerprint("train", 0) != before


def test_the_hub_fingerprint_pins_the_revision_and_loads_nothing() -> None:
    assert benchmark("gsm8k", None).fingerprint("test", 0) == {
        "hub": "openai/gsm8k",
        "config": "main",
        "revision": "e53f048856ff4f594e959d75785d2c2d37b678ee",
        "split": "test",
    }
    revision = benchmark("multiarith", None).fingerprint("train", 0)["revision"]
    assert len(revision) == 40


@pytest.mark.slow
def test_an_unreachable_hub_points_to_the_data_folder(tmp_path: Path) -> None:
    script = (
        "from sitkit.registry import load_plugins\nfrom sitkit.errors import DataError\n"
        "try:\n    load_plugins().benchmark('gsm8k').questions('test', 0)\n"
        "except DataError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert "openai/gsm8k" in done.stdout
    assert "--data-dir" in done.stdout


def test_benchmarks_take_no_argument_or_option() -> None:
    registry = load_plugins()
    for spec in (Spec("gsm8k", "main"), Spec("gsm8k", None, {"split": "test"})):
        with pytest.raises(SpecError):
            registry.component("benchmark", "gsm8k").factory(spec, registry.context())


def test_importing_the_plugin_stays_light() -> None:
    script = (
        "import sys\nimport sitkit_benchmarks\n"
        "print([name for name in ('datasets', 'pandas', 'numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@needs_data
@pytest.mark.parametrize(
    ("name", "split", "rows"),
    [("gsm8k", "train", 7473), ("gsm8k", "test", 1319), ("multiarith", "train", 420), ("multiarith", "test", 180)],
)
def test_the_real_files_have_the_official_number_of_rows(name: str, split: Any, rows: int) -> None:
    questions = benchmark(name, DATA).questions(split, 0)
    assert len(questions) == rows
    assert len({question.id for question in questions}) == rows


@needs_data
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_gold_solution_is_judged_right(split: Any) -> None:
    for question in benchmark("gsm8k", DATA).questions(split, 0):
        assert question.solution
        assert "<<" not in question.solution
        assert is_correct(question, question.solution), question


@needs_data
def test_worked_solutions_are_read_without_their_closing_sentence() -> None:
    """People state the result last, but not always: 99% is what the last sentence gives (docs/answers.md)."""
    questions = benchmark("gsm8k", DATA).questions("train", 0)
    right = sum(is_correct(one, (one.solution or "").rpartition("\nThe answer is")[0]) for one in questions)
    assert right / len(questions) > 0.985
