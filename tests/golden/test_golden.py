"""Scores, keys and printed numbers are what they were when they were captured (tests/golden/capture.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.capture import COMMANDS, HERE, default_plan, run_all

SAID = ("scores", "arms", "stages", "pairs", "teachers", "tables", "page")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(json.dumps(run_all(tmp_path_factory.mktemp("golden"))))
    return found


def _golden(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_says_what_it_said(runs: dict[str, dict[str, Any]], name: str, what: str) -> None:
    assert runs[name][what] == _golden(name)[what]


def test_the_default_plan_has_the_same_stages_under_the_same_keys() -> None:
    assert default_plan() == _golden("default_plan")


def test_the_captured_files_are_those_of_the_commands() -> None:
    assert {path.stem for path in Path(HERE).glob("*.json")} == {*COMMANDS, "default_plan"}
