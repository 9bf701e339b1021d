"""The lock files pin everything pyproject.toml asks for, to versions it allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
DEV = PROJECT["project"]["optional-dependencies"]["dev"]


def pinned(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= pinned(line.removeprefix("-r "))
        elif not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)", line)
            assert match, f"{name}: {line!r} is not name==version without a local suffix"
            assert match[1] not in found, f"{name}: {match[1]} is pinned twice"
            found[match[1]] = match[2]
    return found


@pytest.mark.parametrize(("lock", "wanted"), [("requirements.lock", RUNTIME), ("requirements-dev.lock", RUNTIME + DEV)])
def test_what_pyproject_asks_for_is_pinned_within_its_range(lock: str, wanted: list[str]) -> None:
    versions = pinned(lock)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{lock} lacks {name}: run `make lock`"
        assert requirement.specifier.contains(versions[name]), f"{lock}: {name}=={versions[name]}: run `make lock`"


def test_running_sitkit_needs_no_test_tools() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & set(pinned("requirements.lock"))
