"""`sitkit export` of a run with several students: which one is meant, and what lies beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import RecipeError, RunNotFoundError, SitkitError
from tests.example_runs import example_registry, make_run

SLIPS = ("speller,slips=5", "speller,slips=2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run of two teachers and two seeds."""
    workspace = tmp_path_factory.mktemp("export") / "w"
    with example_registry() as registry:
        make_run(registry, workspace, "several", teacher=SLIPS, seeds=(0, 1))
        make_run(registry, workspace, "ways", methods=("both", "instruct"))
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "w"))


def _export(workspace: Path, out: Path, *arguments: str, name: str = "several") -> None:
    from sitkit.cli.export import export

    with example_registry() as registry:
        words = [name, str(out), *arguments, "--workspace", str(workspace)]
        export.main(words, obj=registry, standalone_mode=False)


def _arm(workspace: Path, **fields: Any) -> dict[str, Any]:
    arms = json.loads((workspace / "runs" / "several" / "results.json").read_text())["arms"]
    return dict(next(arm for arm in arms if all(arm[name] == value for name, value in fields.items())))


def _stored(workspace: Path, stage: str, key: str) -> bytes:
    (path,) = (workspace / "store" / stage / key[:20] / "adapter").iterdir()
    return path.read_bytes()


def test_several_students_are_listed_in_one_line_that_says_how_to_choose(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        _export(workspace, tmp_path / "out")
    assert str(raised.value) == (
        "several has several refine students; say which: --teacher speller,slips=5|speller,slips=2"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("teacher", SLIPS)
@pytest.mark.parametrize("phase", ["instruct", "refine"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_student_that_was_chosen_is_written_with_its_own_scores(
    workspace: Path, tmp_path: Path, teacher: str, phase: str, seed: int
) -> None:
    out = tmp_path / "out"
    _export(workspace, out, "--teacher", teacher, "--phase", phase, "--seed", str(seed), "--train-on", "letters")
    arm = _arm(workspace, teacher=teacher, seed=seed)
    contents = [path.read_bytes() for path in out.iterdir() if path.name != "README.md"]
    assert _stored(workspace, phase, arm[phase]) in contents
    text = (out / "README.md").read_text()
    assert "# out" in text
    assert f"teacher: {teacher}" in text
    rows = json.loads((workspace / "runs" / "several" / "results.json").read_text())["scores"]
    values = {
        row["value"]
        for row in rows
        if (row["phase"], row["teacher"], row["seed"], row["prompting"]) == (phase, teacher, seed, "cot")
    }
    assert f"**{100 * values.pop():.1f} ±" in text
    assert not values


@pytest.mark.parametrize(
    ("method", "phase", "has", "lacks"),
    [
        ("both", "refine", ["Instruction-tuning on", "Refinement on", "| instruct |"], ["without instruction-tuning"]),
        ("instruct", "instruct", ["Instruction-tuning on", "| instruct |"], ["Refinement on", "| refine |"]),
    ],
)
def test_a_card_tells_which_way_the_student_was_taught(
    workspace: Path, tmp_path: Path, method: str, phase: str, has: list[str], lacks: list[str]
) -> None:
    _export(workspace, tmp_path / "out", "--method", method, "--phase", phase, name="ways")
    text = (tmp_path / "out" / "README.md").read_text()
    assert [part for part in has if part not in text] == []
    assert [part for part in lacks if part in text] == []
    assert f"- {method}" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "4"], r"--seed 0\|1"),
        (["--teacher", "speller"], "--teacher speller,slips=5"),
        (["--train-on", "leters"], "did you mean 'letters'"),
        (["--fraction", "0.5"], "--fraction 1"),
        (["--method", "instruct"], "--method both"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    workspace: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    with pytest.raises(SitkitError, match=said):
        _export(workspace, tmp_path / "out", *arguments)


def test_a_folder_that_holds_something_is_left_alone(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(RecipeError, match="is not empty"):
        _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_a_student_that_was_cleaned_away_is_said_to_be(workspace: Path, tmp_path: Path) -> None:
    shutil.rmtree(workspace / "store" / "refine")
    with pytest.raises(RunNotFoundError, match="not in its store"):
        _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])


def test_a_card_that_the_students_plugin_wrote_stays(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit.cli import export as command

    def write(folder: Path, *rest: Any) -> None:
        (folder / "README.md").write_text("its own")
        written(folder, *rest)

    written = command._write_card
    monkeypatch.setattr(command, "_write_card", write)
    _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    assert (tmp_path / "out" / "README.md").read_text() == "its own"
