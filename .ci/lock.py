"""Write the lock files: every package with its exact version, as pip's resolver picks them for pyproject.toml.

``requirements.lock`` is what running sitkit needs (and the build backend, for the editable install);
``requirements-dev.lock`` adds the extra "dev" on top of it. Run by ``make lock``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNTIME, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"

HEADER = """\
# Written by `make lock` from pyproject.toml through pip's resolver; edit that instead.
# Versions carry no local suffix: torch=={torch} is met by whichever build the index in use offers (CPU or CUDA).
# What a CUDA build of torch needs beside it is pinned by torch itself.
"""


def resolve(*arguments: str) -> dict[str, str]:
    """Return name -> version of all that pip would install, sitkit itself left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", str(report), *arguments], check=True, cwd=ROOT)
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    packages = [entry["metadata"] for entry in found["install"]]
    # Only pip itself, which every virtual environment brings along, and sitkit are not for the lock.
    return {
        re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"].partition("+")[0]
        for package in packages
        if package["name"] not in {"sitkit", "pip"}
    }


def write(path: Path, first: str, packages: dict[str, str]) -> None:
    """Write one lock file, sorted by name."""
    lines = [f"{name}=={version}" for name, version in sorted(packages.items())]
    path.write_text("\n".join([first + lines[0], *lines[1:], ""]), encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(lines)} packages\n")


def main() -> None:
    """Resolve the runtime, then the extra "dev" held to the runtime's versions, and write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = resolve(".", *project["build-system"]["requires"])
    header = HEADER.format(torch=runtime["torch"])
    write(RUNTIME, header, runtime)
    everything = resolve(".[dev]", "--constraint", str(RUNTIME))
    extra = {name: version for name, version in everything.items() if name not in runtime}
    write(DEV, f"{header}-r {RUNTIME.name}\n", extra)


if __name__ == "__main__":
    main()
