"""docs/api.md is what the docstrings say, and `import sitkit` offers what is listed and nothing else."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import sitkit

ROOT = Path(__file__).parents[2]


def test_the_page_is_the_docstrings() -> None:
    made = runpy.run_path(str(ROOT / ".ci" / "api_page.py"))["page"]()
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == made, "run `make api`"


def test_the_public_names_are_those_listed() -> None:
    code = "import sitkit; print(*[name for name in dir(sitkit)], sep='\\n')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert shown == sorted(sitkit.__all__)
    for name in sitkit.__all__:
        assert getattr(sitkit, name) is not None


def test_no_module_hides_a_public_name() -> None:
    modules = {path.stem for path in (ROOT / "sitkit").iterdir()}
    assert not modules & set(sitkit.__all__)


def test_importing_sitkit_loads_nothing_heavy() -> None:
    code = (
        "import sys, sitkit; from sitkit import run; heavy = {'torch', 'pandas', 'matplotlib', 'scipy', 'transformers',"
        " 'numpy', 'datasets', 'rich'}; print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_the_types_are_shipped() -> None:
    assert (ROOT / "sitkit" / "py.typed").is_file()
