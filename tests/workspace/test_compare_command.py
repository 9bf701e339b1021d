"""`sitkit compare`: what differs, every cell of both runs, and the paired test on the questions both answered."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.cli.main import run
from sitkit.report.markdown import markdown
from sitkit.results.files import read_results
from sitkit.results.significance import holm
from sitkit.store import Store
from sitkit.workspace.compare import Run, compare_runs, differences
from sitkit.workspace.compare_report import comparison_tables
from tests.example_runs import example_registry, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run, one on less data, one with a shorter test, one of two seeds, one with two teachers."""
    workspace = tmp_path_factory.mktemp("compare") / "w"
    with example_registry() as registry:
        make_run(registry, workspace, "whole")
        make_run(registry, workspace, "less", limit=3)
        make_run(registry, workspace, "short", limit=3, test_limit=6)
        make_run(registry, workspace, "seeds", limit=3, seeds=(0, 1))
        make_run(registry, workspace, "late", limit=3, seeds=(1, 8))
        make_run(registry, workspace, "later", limit=3, seeds=(8, 9))
        make_run(registry, workspace, "teachers", teacher=("speller,slips=5", "speller,slips=2"))
    return workspace


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "w"))


def _compared(workspace: Path, capsys: pytest.CaptureFixture[str], one: str, other: str) -> dict[str, Any]:
    assert run(["compare", one, other, "--json", "--workspace", str(workspace)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _correct(workspace: Path, name: str, phase: str, prompting: str, seed: int = 0) -> dict[str, bool]:
    """Who answered what right, read from the files by hand."""
    cells = read_results(workspace / "runs" / name).cells
    (key,) = {score.key for cell in cells if cell.phase == phase for score in cell.seeds if score.seed == seed}
    lines = (Store(workspace).folder("evaluate", key) / "predictions.jsonl").read_text().splitlines()
    return {
        row["question_id"]: row["correct"] for row in map(json.loads, lines) if row["prompting"] == prompting
    }  # fmt: skip


def _cell(found: dict[str, Any], phase: str, prompting: str) -> dict[str, Any]:
    (cell,) = (
        cell
        for cell in found["cells"]
        if (cell["first"]["phase"], cell["first"]["prompting"]) == (phase, prompting)
    )  # fmt: skip
    return dict(cell)


def test_what_differs_and_nothing_else_is_listed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _compared(workspace, capsys, "whole", "short")
    assert found["recipe"] == [
        {"name": "limit", "first": "none", "second": "3"},
        {"name": "test_limit", "first": "none", "second": "6"},
    ]
    assert found["versions"] == []


@pytest.mark.parametrize("phase", ["instruct", "refine"])
@pytest.mark.parametrize("prompting", ["direct", "cot"])
def test_the_paired_test_is_scipys_on_the_very_predictions(
    workspace: Path, phase: str, prompting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from scipy.stats import binomtest

    cell = _cell(_compared(workspace, capsys, "whole", "less"), phase, prompting)
    before, after = (_correct(workspace, name, phase, prompting) for name in ("whole", "less"))
    gained = sum(after[one] and not before[one] for one in before)
    lost = sum(before[one] and not after[one] for one in before)
    paired = cell["paired"]
    assert (paired["n"], paired["gained"], paired["lost"]) == (14, gained, lost)
    assert paired["p"] == [binomtest(gained, gained + lost).pvalue if gained + lost else 1.0]
    assert paired["difference"] == pytest.approx((gained - lost) / 14)
    assert paired["low"] <= paired["difference"] <= paired["high"]
    assert cell["second"]["value"] - cell["first"]["value"] == pytest.approx(paired["difference"])
    if phase == "refine" and prompting == "cot":
        assert lost > 0, "a run on less data must be seen to lose"


def test_runs_of_different_tests_are_paired_by_question(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _compared(workspace, capsys, "whole", "short")
    cell = _cell(found, "refine", "cot")
    assert (cell["first"]["n"], cell["second"]["n"], cell["paired"]["n"]) == (14, 6, 6)
    assert run(["compare", "whole", "short", "--workspace", str(workspace)]) == 0
    assert "6 of 14 and 6" in capsys.readouterr().out


def test_the_difference_shown_is_the_one_tested(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _compared(workspace, capsys, "whole", "short")
    assert run(["compare", "whole", "short", "--workspace", str(workspace)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if " of 14 and 6" in line]
    tested = [f"{100 * cell['paired']['difference']:+.1f}" for cell in found["cells"] if not cell["same"]]
    assert [next(word for word in line if word[0] in "+-") for line in shown] == tested
    means = [f"{100 * (cell['second']['value'] - cell['first']['value']):+.1f}" for cell in found["cells"]]
    assert means != tested


def test_the_same_stage_is_said_to_be_the_same(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _compared(workspace, capsys, "whole", "less")
    assert {cell["first"]["phase"]: cell["same"] for cell in found["cells"]} == {
        "baseline": True,
        "instruct": False,
        "refine": False,
    }
    again = _compared(workspace, capsys, "whole", "whole")
    assert all(cell["same"] for cell in again["cells"])
    assert again["recipe"] == []


def test_what_is_the_same_is_a_line_and_no_table(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "whole", "whole", "--workspace", str(workspace)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "the same in both: recipe and versions",
        "the same stages in both: 6 of 6 scores (baseline, instruct, refine)",
    ]
    assert run(["compare", "whole", "less", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "the same in both: versions" in said
    assert "the same stages in both: 2 of 6 scores (baseline)" in said


@pytest.mark.parametrize(("one", "other"), [("whole", "seeds"), ("less", "late")])
def test_compare_prints_the_figures_of_the_report(
    workspace: Path, one: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: dict[str, list[str]] = {}
    for name in (one, other):
        report = markdown(read_results(workspace / "runs" / name), name)
        rows = [line.strip("| ").split(" | ") for line in report.splitlines() if line.startswith("| ")]
        shown[name] = [row[2] for row in rows if row[0] in ("instruct", "refine") and row[1] in ("direct", "cot")]
    assert any("(" in figure for figure in shown[other]), "two seeds have a deviation to show"
    assert run(["compare", one, other, "--workspace", str(workspace)]) == 0
    found = re.findall(r"[\d.]+ ± [\d.]+(?: \([\d.]+\))?", capsys.readouterr().out)
    assert (found[0::2], found[1::2]) == (shown[one], shown[other])


def test_the_tests_of_a_comparison_are_one_family(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tested = [cell for cell in _compared(workspace, capsys, "whole", "less")["cells"] if cell["paired"]]
    assert len(tested) > 1
    raw = [max(cell["paired"]["p"]) for cell in tested]
    assert sorted(cell["holm"] for cell in tested) == sorted(holm(raw))
    assert any(cell["holm"] > p for cell, p in zip(tested, raw, strict=True))
    assert run(["compare", "whole", "less", "--workspace", str(workspace)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Holm's correction over these {len(tested)} tests" in shown


def test_seeds_are_paired_with_their_own_or_in_their_order(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for one, other, tests in (("whole", "seeds", 1), ("whole", "late", 1), ("seeds", "late", 1), ("seeds", "later", 2)):
        cell = _cell(_compared(workspace, capsys, one, other), "refine", "cot")
        assert len(cell["paired"]["p"]) == tests
        assert (cell["paired"]["n"], len(cell["second"]["seeds"])) == (14, 2)


def test_arms_are_matched_by_what_tells_them_apart(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _compared(workspace, capsys, "whole", "teachers")
    assert found["arm"] == ["teacher"]
    assert {cell["arm"][0] for cell in found["cells"]} == {"", "speller,slips=5"}
    # The other teacher's instruct and refine, each direct and cot.
    assert (found["only_first"], found["only_second"]) == (0, 4)
    assert run(["compare", "whole", "teachers", "--workspace", str(workspace)]) == 0
    assert "4 of the scores of teachers have no counterpart" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["gone", "garbled", "a folder"])
def test_without_predictions_the_accuracies_stay_and_the_file_is_named(
    workspace: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = read_results(workspace / "runs" / "less").cells
    key = next(cell.keys[0] for cell in cells if cell.phase == "refine")
    path = Store(workspace).folder("evaluate", key) / "predictions.jsonl"
    path.unlink()
    if damage == "garbled":
        path.write_bytes(b"{\xff")
    elif damage == "a folder":
        path.mkdir()
    found = _compared(workspace, capsys, "whole", "less")
    cell = _cell(found, "refine", "cot")
    assert cell["paired"] is None
    assert cell["first"]["value"] > cell["second"]["value"]
    assert any(str(path) in text for text in found["unread"])
    assert _cell(found, "instruct", "cot")["paired"] is not None


def test_runs_of_two_workspaces_are_compared_by_their_folders(
    workspace: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _compared(workspace, capsys, "whole", str(made / "runs" / "less"))
    assert _cell(found, "refine", "cot")["paired"]["n"] == 14
    assert run(["compare", "whole", str(made / "runs" / "whole"), "--workspace", str(workspace)]) == 0
    assert str(made) in capsys.readouterr().out


def test_an_unknown_run_is_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "whole", "wholle", "--workspace", str(workspace)]) == 2
    assert "did you mean 'whole'" in capsys.readouterr().err


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.text(max_size=2), max_size=2)
MAPPINGS = st.dictionaries(st.text(max_size=3), VALUES | st.dictionaries(st.text(max_size=2), VALUES, max_size=3))


@given(MAPPINGS)
def test_a_recipe_does_not_differ_from_itself(recipe: dict[str, Any]) -> None:
    assert differences(recipe, json.loads(json.dumps(recipe))) == ()


@given(MAPPINGS, st.text(min_size=1, max_size=3), st.integers())
def test_what_is_changed_is_found(recipe: dict[str, Any], key: str, value: int) -> None:
    changed = {**recipe, key: {"new key": value}}
    names = [one.name for one in differences(recipe, changed)]
    assert f"{key}.new key" in names
    assert all(name == key or name.startswith(f"{key}.") for name in names)


def test_json_has_no_infinity(workspace: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with example_registry() as registry:
        make_run(registry, workspace, "one", test_limit=1)
    found = _compared(workspace, capsys, "one", "whole")
    paired = _cell(found, "refine", "cot")["paired"]
    assert paired["n"] == 1
    assert paired["low"] is None or math.isfinite(paired["low"])


def test_a_page_shows_what_both_runs_answered(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "both.html"
    assert run(["compare", "whole", "less", "--workspace", str(workspace), "--page", str(page)]) == 0
    assert capsys.readouterr().out.endswith(f"page: {page}\n")
    text = page.read_text(encoding="utf-8")
    index = json.loads(re.search(r'id="index">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert index["nouns"] == {"instruct": "whole", "refine": "less"}
    assert [arm["label"] for arm in index["arms"]] == ["instructed, seed 0", "refined, seed 0"]
    packed = set(re.findall(r'data-chunk="([^"]+)"', text))
    assert {name for arm in index["arms"] for both in arm["test"].values() for name in both.values()} <= packed
    assert run(["compare", "whole", "whole", "--workspace", str(workspace), "--page", str(page)]) == 0
    assert 'id="index"' not in page.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(["compare", "whole", "less", "--workspace", str(workspace), "--page", str(tmp_path / "no" / "x")]) == 2
    assert capsys.readouterr().err.startswith("sitkit: --page ")


def test_answers_that_turned_both_ways_are_a_difference(workspace: Path) -> None:
    with example_registry() as registry:
        runs = (Run.load(workspace / "runs" / name, registry) for name in ("whole", "less"))
        found = compare_runs(*runs)
    one = next(cell for cell in found.cells if cell.paired is not None)
    assert one.paired is not None
    level = replace(one, second=one.first, difference=0.0)
    for turned, shown in ((0, 0), (2, 1)):
        cell = replace(level, paired=replace(one.paired, n=one.first.n, gained=turned, lost=turned))
        tables = comparison_tables(replace(found, recipe=(), versions=(), cells=(cell,)), ("a", "b"))
        assert sum(len(table.rows) for table in tables) == shown
