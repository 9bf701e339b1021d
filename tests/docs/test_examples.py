"""What lies in docs/examples runs: notebooks from the first cell to the last, recipes as a reader would run them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.cli.main import run
from sitkit_smol.source import installed

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RECIPES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a reader stands in, with questions of GSM8K's form and some of one's own in ./data."""
    monkeypatch.chdir(tmp_path)
    problem = {
        "question": "Ada has 2 apples and gets {} more. How many?",
        "answer": "2 + {0} = <<2+{0}={1}>>{1}\n#### {1}",
    }
    for split, first in (("train", 1), ("test", 101)):
        rows = [
            {"question": problem["question"].format(n), "answer": problem["answer"].format(n, n + 2)}
            for n in range(first, first + 8)
        ]
        path = tmp_path / "data" / "gsm8k" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        own = [{"question": row["question"] + " Tell.", "answer": str(n + 2)} for n, row in enumerate(rows, first)]
        (tmp_path / "data" / "word_problems").mkdir(exist_ok=True)
        with gzip.open(tmp_path / "data" / "word_problems" / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in own))
        answers = [{"question": row["question"], "completion": f"The answer is {row['answer']}."} for row in own]
        told = tmp_path / "data" / "demonstrations" / "word_problems.text-davinci-002.jsonl"
        told.parent.mkdir(exist_ok=True)
        told.write_text("".join(json.dumps(row) + "\n" for row in answers), encoding="utf-8")
    return tmp_path


def sitkit(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments])


def test_there_are_seven_recipes_and_two_notebooks_and_the_page_names_them() -> None:
    assert (len(RECIPES), len(NOTEBOOKS)) == (7, 2)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in page for name in RECIPES + NOTEBOOKS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_its_goal_and_can_be_planned(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (EXAMPLES / name).read_text(encoding="utf-8").startswith("# Goal: ")
    on_data: Sequence[str] = ("--data-dir", "data", "--eval-on", "gsm8k") if "gsm8k" in name or "real" in name else ()
    if "real" in name and installed() is None:
        pytest.skip("the model of the student smol is not installed (make test installs it)")
    assert sitkit("run", "--config", EXAMPLES / name, "--dry-run", "--json", *on_data) == 0, capsys.readouterr().err
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["stages"]) > 3
    assert not any(stage["stored"] for stage in plan["stages"])
    assert not (folder / "sitkit-workspace" / "store").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name[0] in "134"])
def test_a_recipe_of_the_embedded_world_runs(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("train.max_steps=1", "sample.max_new_tokens=8", "evaluate.max_new_tokens=8")
    small = ("--limit", "6", "--test-limit", "3", "--seeds", "1", *(f"--set={setting}" for setting in settings))
    assert sitkit("run", "--config", EXAMPLES / name, "--quiet", *small) == 0, capsys.readouterr().err
    report = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert report.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.chdir(tmp_path)
    content: Any = nbformat.read(EXAMPLES / name, as_version=4)
    NotebookClient(content, timeout=300, kernel_name="python3").execute()
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    assert all(cell.get("execution_count") for cell in cells)
    outputs = {cell.source: cell.get("outputs", []) for cell in cells}
    assert not [source for source, found in outputs.items() if any(out.output_type == "stream" for out in found)]
    figures = [found for source, found in outputs.items() if ".figures()" in source]
    assert figures
    assert all(any("image/png" in out.get("data", {}) for out in found) for found in figures)


def test_notebooks_are_stored_without_outputs() -> None:
    import nbformat

    for name in NOTEBOOKS:
        cells = nbformat.read(EXAMPLES / name, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), name
