"""The embedded world end to end, small: files, fields, reuse, export, and the same accuracy from plain lm-eval."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LIMITS = ["--limit", "24", "--test-limit", "16", "--set", "instruct.epochs=2", "--set", "refine.max_steps=4"]
WITHOUT_TORCH = (
    "import sys\n"
    "BLOCKED = ['torch']\n"
    "class Block:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name in BLOCKED:\n"
    "            raise RuntimeError(name + ' was imported')\n"
    "sys.meta_path.insert(0, Block())\n"
    "from sitkit.cli.main import run\n"
    "sys.exit(run(sys.argv[1:]))\n"
)


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished run called "small"."""
    folder = tmp_path_factory.mktemp("default") / "w"
    done = _python("-m", "sitkit", "run", *LIMITS, "--name", "small", "--workspace", str(folder))
    assert done.returncode == 0, done.stderr
    for expected in ("Accuracy", "of 21 stages were run", "report.html", "baseline", "instruct", "refine"):
        assert expected in done.stdout
    return folder


@pytest.fixture(scope="module")
def results(workspace: Path) -> dict[str, Any]:
    """The run's results.json."""
    loaded: dict[str, Any] = json.loads((workspace / "runs" / "small" / "results.json").read_text())
    return loaded


def test_results_hold_every_cell_with_every_field(results: dict[str, Any]) -> None:
    benchmarks = ["tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts"]
    cells = [(row["phase"], row["benchmark"], row["prompting"]) for row in results["cells"]]
    assert cells == [
        (phase, benchmark, prompting)
        for phase in ("baseline", "instruct", "refine")
        for benchmark in benchmarks
        for prompting in ("direct", "cot")
    ]
    trained = ["tiny_chain", "tiny_cups"]
    for row in results["cells"]:
        assert 0 <= row["value"] <= 1
        assert 0 < row["over_questions"] < 0.5
        assert (row["n"], row["fraction"], [score["seed"] for score in row["seeds"]]) == (16, 1.0, [0])
        taught, refined = row["phase"] != "baseline", row["phase"] == "refine"
        assert (row["student"], row["teacher"]) == ("tiny", "tiny" if taught else "")
        assert row["strategy"] == ("dpo-cot" if refined else "")
        assert row["train_on"] == (trained if taught else [])
        assert row["refine_on"] == (trained if refined else [])
    domains = {row["benchmark"]: row["domain"] for row in results["cells"]}
    assert domains == {"tiny_chain": "math", "tiny_shop": "math", "tiny_cups": "qa", "tiny_gifts": "qa"}
    (pairs,) = results["pairs"]
    assert pairs["total"] == pairs["chosen_from"]["student"] + pairs["chosen_from"]["teacher"]
    assert pairs["total"] + pairs["left_out"] == 48
    assert {"stage", "key", "seconds", "reused"} <= set(results["stages"][0])
    assert {"sitkit", "torch", "trl", "lm_eval", "python"} <= set(results["versions"])


def test_the_same_command_again_reuses_everything_without_torch(workspace: Path, results: dict[str, Any]) -> None:
    done = _python("-c", WITHOUT_TORCH, "run", *LIMITS, "--name", "again", "--workspace", str(workspace))
    assert done.returncode == 0, done.stderr
    again = json.loads((workspace / "runs" / "again" / "results.json").read_text())
    assert all(stage["reused"] for stage in again["stages"])
    assert json.dumps(again["cells"]) == json.dumps(results["cells"])
    lines = done.stdout.splitlines()
    assert len(lines) <= 10, "a run that was stored says little"
    assert lines[0].startswith("accuracy with CoT, percent: baseline ")
    assert lines[-1].startswith("report: ")


def test_a_finished_run_tests_and_draws_nothing_again(workspace: Path) -> None:
    blocked = WITHOUT_TORCH.replace("['torch']", "['torch', 'scipy', 'matplotlib']")
    page = workspace / "runs" / "small" / "report.html"
    before = page.read_bytes()
    done = _python("-c", blocked, "run", *LIMITS, "--name", "small", "--workspace", str(workspace))
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == before


def test_the_written_recipe_repeats_the_run(workspace: Path, results: dict[str, Any]) -> None:
    recipe = workspace / "runs" / "small" / "recipe.yaml"
    done = _python(
        "-c", WITHOUT_TORCH, "run", "--config", str(recipe), "--name", "repeat", "--workspace", str(workspace)
    )
    assert done.returncode == 0, done.stderr
    repeated = json.loads((workspace / "runs" / "repeat" / "results.json").read_text())
    assert json.dumps(repeated["cells"]) == json.dumps(results["cells"])
    assert repeated["recipe"] == results["recipe"]


def test_no_file_of_the_workspace_is_pickled(workspace: Path) -> None:
    kinds = {path.suffix for path in workspace.rglob("*") if path.is_file()}
    assert kinds <= {
        ".json",
        ".jsonl",
        ".safetensors",
        ".yaml",
        ".md",
        ".html",
        ".svg",
        ".lock",
        ".jinja",
        ".txt",
        ".log",
    }


def test_report_prints_the_tables_again(workspace: Path) -> None:
    done = _python("-m", "sitkit", "report", "small", "--workspace", str(workspace))
    assert done.returncode == 0, done.stderr
    assert "Refined minus instructed" in done.stdout


@pytest.mark.parametrize("phase", ["instruct", "refine"])
def test_plain_lm_eval_gives_the_same_accuracy_on_the_exported_student(
    workspace: Path, results: dict[str, Any], tmp_path: Path, phase: str
) -> None:
    model, told = tmp_path / "model", tmp_path / "told"
    arguments = ["export", "small", str(model), "--phase", phase, "--merge", "--workspace", str(workspace)]
    done = _python("-m", "sitkit", *arguments)
    assert done.returncode == 0, done.stderr
    tasks = _python("-m", "sitkit", "tasks", "path").stdout.strip()
    limit = results["recipe"]["set"]["evaluate"]["max_new_tokens"]
    names = [f"sit_{name}_{prompting}" for name in ("tiny_chain", "tiny_cups") for prompting in ("direct", "cot")]
    done = _python(
        "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
        "--include_path", tasks, "--tasks", ",".join(names), "--limit", "16", "--batch_size", "5",
        "--gen_kwargs", f"max_gen_toks={limit}", "--device", "cpu", "--output_path", str(told),
        LM_HARNESS_CACHE_PATH=str(tmp_path / "cache"), HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = told.rglob("results_*.json")
    plain = json.loads(path.read_text())["results"]
    for row in results["cells"]:
        name = f"sit_{row['benchmark']}_{row['prompting']}"
        if row["phase"] == phase and name in names:
            (score,) = row["seeds"]
            assert plain[name]["accuracy,none"] == score["value"]
            assert plain[name]["accuracy_stderr,none"] == score["stderr"]
            assert plain[name]["extraction_failure,none"] * score["n"] == pytest.approx(score["unread"])
