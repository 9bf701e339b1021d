"""`sitkit data`: counts any plugged-in benchmark, names what cannot be read, stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sitkit.cli.main import run
from tests.sitkit_benchmarks.examples import ROWS, write_data_dir


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Hand-written rows: OpenBookQA's test row is in its train twice; MultiArith and GSM8K have no train split."""
    write_data_dir(tmp_path)
    row = ROWS["openbookqa"][2]
    other = row | {"question_stem": "Salt in water will", "answerKey": "A"}
    rows = [row, row | {"question_stem": "a PAN of water, left on a lit stove, will"}, other, other]
    (tmp_path / "openbookqa/train.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    return tmp_path


def test_counts_as_json(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "obqa", "--data-dir", str(data_dir), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    train, test = found["splits"]["train"], found["splits"]["test"]
    assert (found["benchmark"], found["domain"]) == ("obqa", "qa")
    assert (train["source"]["rows"], train["rows"], train["per_class"]) == (4, 4, {"A": 2, "B": 2})
    assert train["from"] == str(data_dir / "openbookqa/train.jsonl")
    assert train["paper"] == {"per_class": 1000}
    assert train["agrees_with_paper"] is False
    assert train["repeated"] == {"question": 2, "with_options": 2}
    assert test["also_in_train"] == {"question": 1, "with_options": 1}


def test_dropping_duplicates_leaves_none_in_both(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "obqa", "--data-dir", str(data_dir), "--json", "--drop-duplicates"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["splits"]["test"]["also_in_train"] == {"question": 0, "with_options": 0}
    assert found["splits"]["train"]["rows"] == 2


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "multiarith", "obqa", "gsm8k", "--data-dir", str(data_dir)]) == 2
    captured = capsys.readouterr()
    assert "2 x 2" in captured.out
    assert "1000 a class" in captured.out
    assert len(captured.err.splitlines()) == 2
    for name in ("MultiArith/train.jsonl", "gsm8k/train.jsonl"):
        assert name in captured.err


def test_an_unknown_name_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "obqq"]) == 2
    assert "did you mean 'obqa'" in capsys.readouterr().err


def test_a_benchmark_of_another_plugin_is_counted_and_says_what_it_cannot_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["data", "tiny_cups", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["splits"]["test"]["rows"] == sum(found["splits"]["test"]["per_class"].values())
    assert found["splits"]["test"]["paper"] is None
    assert run(["data", "tiny_cups", "--drop-duplicates"]) == 2
    assert "tiny_cups cannot drop duplicates" in capsys.readouterr().err


def test_every_benchmark_is_counted_once_under_its_first_name(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["data", "--data-dir", str(data_dir), "--json"])
    names = [one["benchmark"] for one in json.loads(capsys.readouterr().out)]
    assert "openbookqa" in names
    assert "obqa" not in names
    assert len(set(names)) == len(names)


def test_counting_from_files_loads_nothing_heavy(data_dir: Path) -> None:
    code = (
        "import sys\nfrom sitkit.cli.main import run\n"
        f"code = run(['data', 'obqa', '--data-dir', {str(data_dir)!r}])\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'math_verify'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
