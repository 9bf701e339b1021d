"""A few trials of each campaign: none may end in an internal error, other numbers, or files left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns.__main__ import ONLY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trials() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.campaigns", "--trials", "1", "--seed", "20"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", ONLY)
def test_everything_holds_in_a_campaign(trials: list[dict[str, Any]], name: str) -> None:
    own = [trial for trial in trials if trial["campaign"] == name and "number" in trial]
    assert len(own) == 1
    assert [wrong for trial in own for wrong in trial["wrong"]] == []
    assert all(trial["codes"] for trial in own)
