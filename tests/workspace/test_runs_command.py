"""`sitkit runs`: what there is, what it takes, and what is broken."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sitkit.cli.main import run
from sitkit.errors import RunNotFoundError
from sitkit.results.files import read_results
from sitkit.workspace.runs import find_run
from tests.example_runs import example_registry, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two runs that share what comes before refining."""
    workspace = tmp_path_factory.mktemp("runs") / "w"
    with example_registry() as registry:
        for index, (name, beta) in enumerate((("first", 0.1), ("second", 0.5))):
            folder, _ = make_run(registry, workspace, name, settings={"refine": {"beta": beta}})
            os.utime(folder / "results.json", (1_700_000_000 + index, 1_700_000_000 + index))
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "w"))


def _listed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert run(["runs", "--json", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_runs_are_listed_the_newest_first_with_what_they_are(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, _ = _listed(workspace, capsys)
    second, first = listed["runs"]
    assert (second["name"], first["name"]) == ("second", "first")
    assert first["finished"].startswith("2023-11-14T22:13:20")
    assert (first["student"], first["teacher"]) == (["counter"], ["speller,slips=5"])
    results = read_results(workspace / "runs" / "first")
    by_phase = {cell.phase: cell.value for cell in results.cells if cell.prompting == "cot"}
    assert first["accuracy"] == by_phase
    assert first["accuracy"]["refine"] > first["accuracy"]["baseline"]
    assert first["stages"] == len(results.stages)
    assert (second["number"], first["number"]) == (1, 2)


def test_sizes_add_up_and_what_is_shared_is_said(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed, _ = _listed(workspace, capsys)
    store = _bytes(workspace / "store")
    assert listed["store"] == store
    assert listed["journals"] == _bytes(workspace / "journals") > 0
    own = {one["name"]: one["size"] - _bytes(workspace / "runs" / one["name"]) for one in listed["runs"]}
    shared = {one["shared"] for one in listed["runs"]}
    (common,) = shared
    assert 0 < common < store
    assert sum(own.values()) - common == store
    assert listed["unused"] == 0


def test_what_no_run_refers_to_is_counted(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace / "runs" / "second")
    listed, _ = _listed(workspace, capsys)
    (first,) = listed["runs"]
    assert first["shared"] == 0
    assert listed["unused"] == listed["store"] - (first["size"] - _bytes(workspace / "runs" / "first")) > 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "not finished"),
        (b"", "cannot be used"),
        (b"{", "cannot be used"),
        (b"[]", "cannot be used"),
        (b'{"schema": 0}', "another version of sitkit wrote it"),
        (b"\xff\xfe", "cannot be used"),
    ],
)
def test_a_broken_run_is_named_and_hides_no_other(
    workspace: Path, content: bytes | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace / "runs" / "second" / "results.json"
    path.unlink() if content is None else path.write_bytes(content)
    listed, _ = _listed(workspace, capsys)
    problems = {one["name"]: one["problem"] for one in listed["runs"]}
    assert problems["first"] is None
    assert why in problems["second"]
    assert run(["runs", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr()
    assert f"{'note' if content is None else 'broken'}: second: " in said.err
    assert "first" in said.out
    assert ("goes on with it" if content is None else "makes it again") in said.err


def test_a_run_that_was_interrupted_is_listed_with_what_it_is(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "runs" / "first" / "results.json").unlink()
    listed, _ = _listed(workspace, capsys)
    second, first = listed["runs"]
    assert (first["name"], first["finished"], first["student"]) == ("first", None, ["counter"])
    assert "sitkit run --config" in first["problem"]
    assert "accuracy" not in first
    assert second["problem"] is None


def test_a_stage_that_cannot_be_read_hides_no_other(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = next((workspace / "store" / "refine").iterdir()), workspace / "store" / "pair"
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        # The superuser, who may run these tests, can read everything.
        if Path(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("os.listdir", lambda path=".": [entry.name for entry in refuse(path)])
    listed, _ = _listed(workspace, capsys)
    assert [text.split(" cannot be read")[0] for text in listed["unreadable"]] == [str(closed[1]), str(closed[0])]
    assert len(listed["runs"]) == 2
    assert run(["runs", "--workspace", str(workspace)]) == 0
    assert f"note: {closed[0]} cannot be read (Permission denied)" in capsys.readouterr().err
    assert run(["clean", "--dry-run", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert f"note: {closed[0]} cannot be read (Permission denied); it stays" in said
    assert "nothing to remove" in said


def test_the_last_line_says_what_there_is_to_clean(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "--workspace", str(workspace)]) == 0
    assert re.fullmatch(r"2 runs, .*; nothing to clean", capsys.readouterr().out.splitlines()[-1])
    shutil.rmtree(workspace / "runs" / "second")
    assert run(["runs", "--workspace", str(workspace)]) == 0
    assert "in 2 stages that no run refers to (sitkit clean)" in capsys.readouterr().out


def test_a_long_name_is_not_cut_where_there_is_no_terminal(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 120
    (workspace / "runs" / "second").rename(workspace / "runs" / name)
    assert run(["runs", "--workspace", str(workspace)]) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("said", ["second", "last", "1", "sec", "runs/second"])
def test_a_run_is_found_by_what_names_it(workspace: Path, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    assert find_run(said, workspace) == workspace / "runs" / "second"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("3", "no run is called '3'"),
        ("0", "no run is called"),
        ("", "no run is called"),
        ("frist", "did you mean 'first'"),
        ("f", "'f' may be first, fourth; say which"),
        ("fourth", "the run fourth is not finished"),
    ],
)
def test_what_names_no_run_or_several_is_one_line(workspace: Path, said: str, why: str) -> None:
    (workspace / "runs" / "fourth").mkdir()
    shutil.rmtree(workspace / "runs" / "second")
    with pytest.raises(RunNotFoundError) as raised:
        find_run(said, workspace)
    assert why in str(raised.value)


def test_a_whole_name_comes_before_a_number_and_the_first_letters(workspace: Path) -> None:
    (workspace / "runs" / "first").rename(workspace / "runs" / "1")
    shutil.copytree(workspace / "runs" / "second", workspace / "runs" / "secondly")
    assert find_run("1", workspace).name == "1"
    assert find_run("second", workspace).name == "second"


def test_a_stage_that_is_gone_is_counted_as_missing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(next((workspace / "store" / "refine").iterdir()))
    listed, _ = _listed(workspace, capsys)
    assert sorted(one["missing"] for one in listed["runs"]) == [0, 1]
    assert run(["runs", "--workspace", str(workspace)]) == 0
    assert "(1 missing)" in capsys.readouterr().out


def test_a_link_in_the_store_is_not_followed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, _ = _listed(workspace, capsys)
    (workspace / "store" / "refine" / ("0" * 20)).symlink_to(workspace / "runs")
    (next((workspace / "store" / "pair").iterdir()) / "loop").symlink_to(workspace)
    after, _ = _listed(workspace, capsys)
    assert 0 <= after["store"] - before["store"] < 5000


def test_a_workspace_that_is_not_there_has_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "--workspace", str(tmp_path / "none")]) == 0
    assert "no finished run" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
