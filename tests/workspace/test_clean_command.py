"""`sitkit clean`: what no run needs goes, everything else stays, whatever happens meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.cli.main import run
from sitkit.errors import StoreError
from sitkit.results.files import write_results
from sitkit.results.model import Results, Stage, Usage, sealed
from sitkit.store import Store, make_key
from sitkit.store.removal import Trash
from sitkit.store.usage import cleaning, in_use
from sitkit.workspace.cleanup import CleanRequest, carry_out, plan_cleanup
from tests.example_runs import example_registry, make_run

OTHER = {"refine": {"beta": 0.5}}
WEEKS = 30 * 86400


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two runs that share what comes before refining."""
    workspace = tmp_path_factory.mktemp("clean") / "w"
    with example_registry() as registry:
        make_run(registry, workspace, "first")
        make_run(registry, workspace, "second", settings=OTHER)
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy to clean."""
    return Path(shutil.copytree(made, tmp_path / "w"))


def _clean(workspace: Path, *arguments: str) -> int:
    return run(["clean", *arguments, "--workspace", str(workspace)])


def _kept(workspace: Path) -> dict[str, int]:
    """How many folders of each stage there are."""
    return {stage.name: len(list(stage.iterdir())) for stage in (workspace / "store").iterdir()}


def _files(workspace: Path) -> set[Path]:
    return {path for path in workspace.rglob("*") if path.suffix != ".lock" and path.name != "locks"}


def _age(folder: Path) -> None:
    then = time.time() - WEEKS
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)


def _made_anew(workspace: Path) -> dict[str, int]:
    with example_registry() as registry:
        return {
            "first": make_run(registry, workspace, "first")[1],
            "second": make_run(registry, workspace, "second", settings=OTHER)[1],
        }


def test_a_workspace_whose_runs_need_everything_stays_as_it_is(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _age(workspace)
    before = _files(workspace)
    assert _clean(workspace, "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert _files(workspace) == before


def test_a_run_goes_with_what_no_other_run_needs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _kept(workspace)
    assert _clean(workspace, "second", "--yes") == 0
    after = _kept(workspace)
    assert not (workspace / "runs" / "second").exists()
    assert {name: before[name] - after[name] for name in before if before[name] != after[name]} == {
        "refine": 1,
        "evaluate": 1,
    }
    assert "removed" in capsys.readouterr().out
    assert _made_anew(workspace) == {"first": 0, "second": 2}


def test_both_runs_at_once_leave_nothing_but_the_answers_that_were_paid_for(workspace: Path) -> None:
    answers = sorted((workspace / "journals").iterdir())
    assert answers
    assert _clean(workspace, "first", "second", "--yes") == 0
    assert sum(_kept(workspace).values()) == 0
    assert list((workspace / "runs").iterdir()) == []
    assert sorted((workspace / "journals").iterdir()) == answers


def test_what_no_run_refers_to_goes_only_when_it_is_old(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace / "runs" / "second")
    before = _files(workspace)
    assert _clean(workspace, "--yes") == 0
    said = capsys.readouterr().out
    assert "2 more" in said
    assert "changed in the last 7 days and stay" in said
    assert _files(workspace) == before
    assert _clean(workspace, "--older-than", "0", "--yes") == 0
    assert _kept(workspace)["refine"] == 1
    assert _made_anew(workspace)["first"] == 0


def test_what_an_interrupted_stage_goes_on_from_stays_while_it_is_young(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Store(workspace).folder("instruct", make_key("another"))
    (folder / "scratch").mkdir(parents=True)
    (folder / "scratch" / "checkpoint").write_bytes(b"x" * 1000)
    assert _clean(workspace, "--yes") == 0
    assert (folder / "scratch" / "checkpoint").exists()
    _age(folder)
    capsys.readouterr()
    assert _clean(workspace, "--yes") == 0
    assert "unfinished" in capsys.readouterr().out
    assert not folder.exists()


def test_answers_go_only_when_asked_for_and_old(workspace: Path) -> None:
    assert _clean(workspace, "--journals", "--yes") == 0
    assert list((workspace / "journals").iterdir())
    _age(workspace / "journals")
    assert _clean(workspace, "--yes") == 0
    assert list((workspace / "journals").iterdir())
    assert _clean(workspace, "--journals", "--yes") == 0
    assert not list((workspace / "journals").iterdir())
    assert _made_anew(workspace) == {"first": 0, "second": 0}


def test_a_dry_run_says_it_all_and_removes_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(workspace)
    assert _clean(workspace, "second", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "second" in said
    assert "refine" in said
    assert "nothing was removed" in said
    assert _files(workspace) == before


def test_without_a_terminal_it_asks_for_yes(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(workspace)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert _clean(workspace, "second") == 2
    assert "--yes" in capsys.readouterr().err
    assert _files(workspace) == before


@pytest.mark.parametrize(("typed", "gone", "code"), [("y\n", True, 0), ("n\n", False, 130), ("\n", False, 130)])
def test_on_a_terminal_it_asks(workspace: Path, typed: str, gone: bool, code: int) -> None:
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "sitkit", "clean", "second", "--workspace", str(workspace)]
    process = subprocess.Popen(arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(ours, typed.encode())
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "Remove this?" in out
    assert process.returncode == code
    assert (workspace / "runs" / "second").exists() is not gone


def _hold(workspace: str, how: str, started: str) -> None:
    store = Store(Path(workspace))
    with in_use(store) if how == "run" else store.lock("f" * 32):
        Path(started).touch()
        time.sleep(60)


@pytest.mark.parametrize("how", ["run", "stage"])
def test_nothing_is_removed_while_a_run_is_under_way_and_a_kill_frees_it(
    workspace: Path, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = tmp_path / "started"
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(workspace), how, str(started)))
    process.start()
    try:
        while not started.exists():
            time.sleep(0.02)
        before = _files(workspace)
        assert _clean(workspace, "second", "--yes") == 2
        assert "a run is under way" in capsys.readouterr().err
        assert _clean(workspace, "second", "--dry-run") == 0
        assert "a run is under way" in capsys.readouterr().out
        assert _files(workspace) == before
    finally:
        process.kill()
        process.join()
    assert _clean(workspace, "second", "--yes") == 0
    assert not (workspace / "runs" / "second").exists()
    assert _clean(workspace, "--older-than", "0", "--yes") == 0


def test_a_run_that_starts_during_a_clean_up_waits_for_its_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    store.prepare()
    order: list[str] = []

    def start() -> None:
        with in_use(store, waiting=lambda: order.append("waits")):
            order.append("runs")

    with cleaning(store) as alone:
        assert alone
        thread = threading.Thread(target=start)
        thread.start()
        while not order:
            time.sleep(0.01)
        time.sleep(0.3)
        order.append("cleaned")
    thread.join(timeout=10)
    assert order == ["waits", "cleaned", "runs"]
    assert not list((tmp_path / "w" / "locks").glob("running-*"))


def test_two_runs_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    with in_use(store), in_use(store), cleaning(store) as alone:
        assert not alone
    with cleaning(store) as alone:
        assert alone


def test_what_became_needed_after_it_was_shown_stays(workspace: Path) -> None:
    shutil.move(workspace / "runs" / "second", workspace / "aside")
    request = CleanRequest(workspace, older_than=0)
    shown = plan_cleanup(request, time.time() + 1)
    assert shown.items
    shutil.move(workspace / "aside", workspace / "runs" / "second")
    assert carry_out(request, shown, time.time() + 1).items == ()
    assert _made_anew(workspace) == {"first": 0, "second": 0}


def test_links_are_not_followed(workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    stage = workspace / "store" / "instruct"
    (stage / ("a" * 20)).symlink_to(outside)
    (workspace / "store" / "linked").symlink_to(outside)
    (workspace / "journals" / "linked.jsonl").symlink_to(outside / "file")
    (workspace / ".trash-linked").symlink_to(outside)
    orphan = stage / ("b" * 20)
    orphan.mkdir()
    (orphan / "inner").symlink_to(outside)
    _age(workspace)
    (outside / ("c" * 20)).mkdir()
    _age(outside)
    assert _clean(workspace, "--journals", "--yes") == 0
    assert not orphan.exists()
    assert (stage / ("a" * 20)).is_symlink()
    assert sorted(path.name for path in outside.iterdir()) == ["c" * 20, "file"]
    assert (outside / "file").read_text() == "precious"


def test_a_store_that_is_a_link_is_left_alone(workspace: Path, tmp_path: Path) -> None:
    shutil.move(workspace / "store", tmp_path / "elsewhere")
    (workspace / "store").symlink_to(tmp_path / "elsewhere")
    before = _files(tmp_path / "elsewhere")
    assert _clean(workspace, "second", "--yes") == 0
    assert not (workspace / "runs" / "second").exists()
    assert _files(tmp_path / "elsewhere") == before


def test_nothing_that_lies_behind_a_link_can_be_put_away(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "w", tmp_path / "outside"
    workspace.mkdir()
    (outside / "inner").mkdir(parents=True)
    (workspace / "link").symlink_to(outside)
    trash = Trash(workspace)
    for path in (workspace / "link", workspace / "link" / "inner", outside, workspace / ".." / "outside", workspace):
        with pytest.raises(StoreError, match="nothing outside"):
            trash.put(path)
    trash.empty()
    assert (outside / "inner").is_dir()
    assert (workspace / "link").is_symlink()


def test_a_run_that_is_a_link_is_refused(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(workspace / "runs" / "second", tmp_path / "elsewhere")
    (workspace / "runs" / "second").symlink_to(tmp_path / "elsewhere")
    before = _files(tmp_path)
    assert _clean(workspace, "second", "--yes") == 2
    assert "is a link" in capsys.readouterr().err
    # As a run it still says what it needs.
    _age(workspace)
    assert _clean(workspace, "--yes") == 0
    assert _files(tmp_path) == before


@pytest.mark.parametrize("name", ["third", "..", ".", "../w", "", "/"])
def test_only_runs_of_the_workspace_can_be_removed(
    workspace: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(workspace)
    assert _clean(workspace, name, "--yes") == 2
    assert "no run is called" in capsys.readouterr().err
    assert _files(workspace) == before


def test_while_a_run_cannot_be_read_no_stage_is_removed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "runs" / "first" / "results.json").write_text("{")
    _age(workspace)
    kept = _kept(workspace)
    assert _clean(workspace, "second", "--yes") == 0
    assert "first cannot be read" in capsys.readouterr().out
    assert not (workspace / "runs" / "second").exists()
    assert _kept(workspace) == kept
    assert _clean(workspace, "first", "--yes") == 0
    assert _clean(workspace, "--yes") == 0
    assert sum(_kept(workspace).values()) == 0


def test_what_an_interrupted_clean_up_left_is_taken_along(workspace: Path) -> None:
    left = workspace / ".trash-1-2" / "0-name"
    left.mkdir(parents=True)
    (left / "file").write_text("x")
    aside = workspace / "store" / "refine" / ".discarded-x"
    aside.mkdir()
    (aside / "file").write_text("x")
    _age(workspace)
    assert _clean(workspace, "--yes") == 0
    assert not left.parent.exists()
    assert not aside.exists()


def test_a_file_that_a_kill_left_half_written_goes_when_it_is_old(workspace: Path) -> None:
    before = _files(workspace)
    name = f".results.json.{'0a' * 16}"
    left = [workspace / "runs" / "first" / name, workspace / name]
    for path in left:
        path.write_text("{")
    (workspace / "runs" / "first" / ".notes.txt").write_text("the user's")
    assert _clean(workspace, "--yes") == 0
    assert all(path.exists() for path in left)
    for path in left:
        _age(path)
    assert _clean(workspace, "--yes") == 0
    assert _files(workspace) == before | {workspace / "runs" / "first" / ".notes.txt"}


def test_a_store_that_cannot_be_written_costs_no_run(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, access = workspace / "store" / "refine", os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != closed and access(path, mode))
    before = _files(workspace)
    assert _clean(workspace, "second", "--yes") == 2
    assert f"{closed} cannot be written, so nothing is removed" in capsys.readouterr().err
    assert _files(workspace) == before


@pytest.mark.parametrize("days", ["nan", "inf", "-1"])
def test_an_age_that_is_no_number_of_days_is_refused(
    workspace: Path, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(workspace)
    assert _clean(workspace, "--older-than", days, "--yes") == 2
    assert days in capsys.readouterr().err
    assert _files(workspace) == before


def test_as_json_it_says_what_went(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _clean(workspace, "second", "--json") == 2
    assert "--yes or --dry-run" in capsys.readouterr().err
    assert _clean(workspace, "second", "--json", "--dry-run") == 0
    shown = json.loads(capsys.readouterr().out)
    assert not shown["removed"]
    assert (workspace / "runs" / "second").exists()
    assert _clean(workspace, "second", "--json", "--yes") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"]
    assert found["items"] == shown["items"]
    assert {item["kind"] for item in found["items"]} == {"run", "refine", "evaluate"}
    assert not (workspace / "runs" / "second").exists()


def test_locks_that_nobody_holds_go_too(workspace: Path) -> None:
    shutil.rmtree(workspace / "runs" / "second")
    assert _clean(workspace, "--older-than", "0", "--yes") == 0
    assert [path.name for path in (workspace / "locks").glob("*.lock")] in ([], ["cleaning.lock"])
    assert _made_anew(workspace)["first"] == 0


STAGE = Stage(stage="pair", label="", key="", content="", seconds=0.0, reused=False)
EMPTY = Results(
    built_from="", recipe={}, versions={}, arms=(), cells=(), changes=(), pairs=(), training=(), demonstrations=(),
    teacher_scores=(), usage=Usage(), duplicates=(), tasks={}, notices=(), stages=(),
)  # fmt: skip
KEYS = [make_key(number) for number in range(6)]


@settings(max_examples=40, deadline=None)
@given(runs=st.lists(st.sets(st.sampled_from(KEYS)), min_size=1, max_size=4), chosen=st.sets(st.integers(0, 3)))
def test_after_any_clean_up_every_other_run_has_all_it_names(
    tmp_path_factory: pytest.TempPathFactory, runs: list[set[str]], chosen: set[int]
) -> None:
    workspace = tmp_path_factory.mktemp("any")
    store, contents = Store(workspace), dict[str, str]()
    for key in KEYS:
        folder = store.folder("pair", key)
        folder.mkdir(parents=True)
        (folder / "rows").write_text(key)
        contents[key] = store.finish("pair", key, {}, {}, 0, {}).content
    for index, keys in enumerate(runs):
        folder = workspace / "runs" / f"r{index}"
        named = [replace(STAGE, key=key, content=contents[key]) for key in sorted(keys)]
        write_results(folder, sealed(replace(EMPTY, stages=tuple(named))))
    names = tuple(f"r{index}" for index in sorted(chosen) if index < len(runs))
    for request in (
        CleanRequest(workspace, names) if names else CleanRequest(workspace),
        CleanRequest(workspace, older_than=-60),
    ):
        shown = plan_cleanup(request, time.time())
        carry_out(request, shown, time.time())
        left = {key for key in KEYS if store.find("pair", key) is not None}
        needed = set().union(*(keys for index, keys in enumerate(runs) if f"r{index}" not in names), set())
        assert needed <= left
    assert left == needed
