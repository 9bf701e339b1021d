"""`sitkit export` of a run with several students: which one is meant, and what lies beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import PluginError, RecipeError, RunNotFoundError, SitkitError, StoreError
from sitkit.results.accuracy import standard_error
from sitkit.results.files import read_results
from sitkit.results.model import Results
from sitkit.store import Store
from sitkit.workspace.cleanup import CleanRequest, carry_out, plan_cleanup
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


def _results(workspace: Path, name: str = "several") -> Results:
    return read_results(workspace / "runs" / name)


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
    results = _results(workspace)
    (arm,) = (arm for arm in results.arms if arm.teacher == teacher)
    lesson = arm.lessons[seed]
    contents = [path.read_bytes() for path in out.iterdir() if path.name != "README.md"]
    key = lesson.instruct if phase == "instruct" else lesson.refine
    assert key is not None
    assert _stored(workspace, phase, key) in contents
    text = (out / "README.md").read_text()
    assert "# out" in text
    assert f"teacher: {teacher}" in text
    cell = results.cell(arm, "instruct" if phase == "instruct" else "refine", "cot", "letters")
    assert cell is not None
    (score,) = (score for score in cell.seeds if score.seed == seed)
    assert f"**{100 * score.value:.1f} ± {100 * standard_error(score.value, score.n):.1f}**" in text


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
    with pytest.raises(RecipeError, match="is not an empty folder"):
        _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "w"]
    assert list(workspace.glob(".export-*")) == []


def test_a_student_that_was_cleaned_away_is_said_to_be(workspace: Path, tmp_path: Path) -> None:
    shutil.rmtree(workspace / "store" / "refine")
    with pytest.raises(RunNotFoundError, match="not in its store"):
        _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])


def _write(monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]) -> None:
    """Have the example's student do this at the end of an export."""
    from sitkit.registry import Registry

    made = Registry.student

    def student(registry: Registry, *rest: Any) -> Any:
        found: Any = made(registry, *rest)
        export = found.export

        def exported(adapter: Path | None, out: Path, *, merge: bool) -> None:
            export(adapter, out, merge=merge)
            write(out)

        found.export = exported
        return found

    monkeypatch.setattr(Registry, "student", student)


def test_a_card_that_the_students_plugin_wrote_stays(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(monkeypatch, lambda out: (out / "README.md").write_text("its own"))
    _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    assert (tmp_path / "out" / "README.md").read_text() == "its own"


def test_a_stored_student_is_opened_for_who_wants_it_here(workspace: Path) -> None:
    from sitkit.publish.export import stored_student

    folder, results = workspace / "runs" / "several", _results(workspace)
    with example_registry() as registry:
        wanted = {"teacher": SLIPS[1], "train_on": ["letters"], "seed": 1}
        with stored_student(folder, results, "refine", registry, wanted) as (student, adapter, chosen):
            assert (student.spec, chosen.lesson.seed) == ("counter", 1)
        (arm,) = (arm for arm in results.arms if arm.teacher == SLIPS[1])
        assert adapter.parent == Store(workspace).folder("refine", arm.lessons[1].refine or "")
        with pytest.raises(RecipeError, match="say which"), stored_student(folder, results, "refine", registry, {}):
            pass


def test_what_a_kill_leaves_lies_in_the_workspace_where_clean_finds_it(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def look(out: Path) -> None:
        seen.append(out)
        assert [path.name for path in tmp_path.iterdir()] == ["w"]
        shutil.copytree(out.parent, out.parent.with_name(out.parent.name + "-killed"))
        request = CleanRequest(workspace, older_than=-60)
        with pytest.raises(StoreError, match="a run is under way"):
            carry_out(request, plan_cleanup(request, time.time()), time.time())

    _write(monkeypatch, look)
    _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    (left,) = workspace.glob(".export-*")
    assert seen[0].is_relative_to(workspace)
    request = CleanRequest(workspace, older_than=-60)
    carry_out(request, plan_cleanup(request, time.time()), time.time())
    assert not left.exists()


def test_a_student_that_fails_leaves_nothing(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(out: Path) -> None:
        raise RuntimeError("no memory")

    _write(monkeypatch, fail)
    with pytest.raises(PluginError, match="export failed with RuntimeError: no memory"):
        _export(workspace, tmp_path / "out", "--teacher", SLIPS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    assert list(workspace.glob(".export-*")) == []


def test_a_workspace_that_can_only_be_read_is_exported_from_all_the_same(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: Store) -> None:
        raise StoreError("cannot be written")

    monkeypatch.setattr(Store, "prepare", refuse)
    _export(workspace, tmp_path / "deep" / "out", "--teacher", SLIPS[0])
    assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == {"README.md", "counter.json"}


def test_across_file_systems_the_folder_is_whole_too(workspace: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == workspace.stat().st_dev:
        pytest.skip("there is one file system here")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        _export(workspace, Path(folder) / "out", "--teacher", SLIPS[0])
        assert [path.name for path in Path(folder).iterdir()] == ["out"]
        assert {path.name for path in (Path(folder) / "out").iterdir()} == {"README.md", "counter.json"}


def test_as_json_it_says_what_was_written(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _export(workspace, tmp_path / "out", "--json", "--method", "both", name="1")
    assert json.loads(capsys.readouterr().out) == {
        "directory": str(tmp_path / "out"),
        "run": "ways",
        "phase": "refine",
        "merged": False,
    }
