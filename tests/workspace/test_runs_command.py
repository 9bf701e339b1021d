"""`sitkit runs`: what there is, what it takes, and what is broken."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sitkit.cli.main import run
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
    scores = json.loads((workspace / "runs/first/results.json").read_text())["scores"]
    by_phase = {row["phase"]: row["value"] for row in scores if row["prompting"] == "cot"}
    assert first["accuracy"] == by_phase
    assert first["accuracy"]["refine"] > first["accuracy"]["baseline"]
    stages = json.loads((workspace / "runs/first/results.json").read_text())["stages"]
    assert first["stages"] == len(stages)


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
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"scores": 1}', "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"scores": [{}], "stages": [], "students": [], "demonstrations": [], "training": [], "recipe": {},'
         b' "pairs": {}, "versions": {}, "arms": [], "tasks": {}}', "run the recipe again"),
    ],
)  # fmt: skip
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
    assert "broken: second: " in said.err
    assert "first" in said.out


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
