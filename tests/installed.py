"""Run the program with distributions that are installed for it alone, in this process or in one of its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def sitkit(*arguments: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``sitkit`` with the distributions in ``path`` installed beside those that are."""
    return python("-m", "sitkit", *arguments, path=path, **environment)


def sitkit_here(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Do as `sitkit` does within this process, which is a second or two faster; modules in ``path`` are forgotten."""
    from sitkit.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    sys.path.insert(0, str(path))
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    finally:
        sys.path.remove(str(path))
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(path):
                del sys.modules[name]
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def python(
    *arguments: str, path: Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the distributions in ``path`` installed beside those that are."""
    known = os.environ.get("PYTHONPATH", "")
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(path), known])), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def distribution(site: Path, name: str, code: str, *, version: str = "1.0") -> None:
    """Put a distribution of one module, which is its entry point, into ``site``, as pip leaves it."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(code, encoding="utf-8")
    register(site, name, [module], version=version)
    record = site / f"{module}-{version}.dist-info" / "RECORD"
    record.write_text(_recorded(f"{module}.py", code.encode("utf-8")), encoding="utf-8")


def _recorded(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
    return f"{name},sha256={digest},{len(content)}\n"


def editable(site: Path, name: str, source: Path, *, version: str = "1.0") -> None:
    """Turn a distribution in ``site`` into an editable install of its module, moved to the folder ``source``.

    As setuptools leaves it: the one module that is recorded finds the others.
    """
    module = name.replace("-", "_")
    source.mkdir(parents=True)
    (site / f"{module}.py").rename(source / f"{module}.py")
    info = site / f"{module}-{version}.dist-info"
    finder = f"__editable___{module}_finder.py"
    (site / finder).write_text("", encoding="utf-8")
    (info / "RECORD").write_text(f"{module}.pth,,\n{_recorded(finder, b'')}", encoding="utf-8")
    (info / "direct_url.json").write_text(
        json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}), encoding="utf-8"
    )


def register(site: Path, name: str, modules: Sequence[str], *, version: str = "1.0") -> None:
    """Make modules that lie in ``site`` a distribution whose entry points they are."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    points = [f"{module} = {module}" for module in modules]
    (info / "entry_points.txt").write_text("\n".join(["[sitkit]", *points, ""]), encoding="utf-8")
