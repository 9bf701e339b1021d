"""`sitkit new-plugin`: what it writes installs, is typed, passes its own tests and `sitkit check-plugin` at once."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sitkit.errors import UsageError
from sitkit.new_plugin import PARTS, write_plugin
from tests.installed import python, sitkit_here


def installed(folder: Path, site: Path) -> None:
    """Install a distribution into a folder, by the backend that it names."""
    wheels = folder.parent / f"wheels-{folder.name}"
    wheels.mkdir()
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(wheels)], cwd=folder, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [PARTS, *[(part,) for part in PARTS]], ids="+".join)
def test_what_is_written_is_sound_as_it_stands(parts: tuple[str, ...], tmp_path: Path) -> None:
    flags = [f"--{part}" for part in parts]
    begun = sitkit_here("new-plugin", "lab-one", *flags, "--directory", str(tmp_path), path=tmp_path)
    assert begun.returncode == 0, begun.stderr
    folder, site = tmp_path / "sitkit-lab-one", tmp_path / "site"
    assert all(f"a {part}" in begun.stdout for part in parts)
    installed(folder, site)
    checked = sitkit_here("check-plugin", "sitkit-lab-one", path=site)
    assert checked.returncode == 0, checked.stdout
    assert "note:" not in checked.stdout
    tested = python("-m", "pytest", "-q", "-p", "no:cacheprovider", path=site, cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert f"{len(parts)} passed" in tested.stdout
    if len(parts) > 1:
        checks = ["--strict", "--python-version", "3.11", "--cache-dir", str(tmp_path / "cache"), "src", "tests"]
        typed = python("-m", "mypy", *checks, path=site, cwd=folder, MYPYPATH=str(folder / "src"))
        assert typed.returncode == 0, typed.stdout


def test_a_strategy_is_what_is_begun_where_nothing_is_asked_for(tmp_path: Path) -> None:
    begun = sitkit_here("new-plugin", "sitkit-mine", "--directory", str(tmp_path), path=tmp_path)
    assert "a strategy" in begun.stdout
    assert sorted(path.name for path in (tmp_path / "sitkit-mine" / "src" / "sitkit_mine").iterdir()) == [
        "__init__.py",
        "strategy.py",
    ]


@pytest.mark.parametrize("name", ["A", "a b", "1a", "a--b", "a-", "class", ""])
def test_a_name_that_cannot_be_one_everywhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a name for a plugin"):
        write_plugin(name, ["strategy"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_and_no_name_is_taken_twice(tmp_path: Path) -> None:
    write_plugin("mine", ["strategy"], tmp_path)
    with pytest.raises(UsageError, match="sitkit-mine exists already"):
        write_plugin("mine", ["teacher"], tmp_path)
    for arguments, said in ((["dpo-cot"], "'dpo-cot' is taken by sitkit"), (["run", "--command"], "'run' is taken")):
        refused = sitkit_here("new-plugin", *arguments, "--directory", str(tmp_path), path=tmp_path)
        assert (refused.returncode, said in refused.stderr) == (2, True)
