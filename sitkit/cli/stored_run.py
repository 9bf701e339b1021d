"""Find a run by its name or folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sitkit.errors import RunNotFoundError, suggestion
from sitkit.report.results import RESULTS
from sitkit.store import Store


def find_run(run: str, workspace: Path) -> Path:
    """Return the folder of a run. Raises `RunNotFoundError` suggesting the nearest name in the workspace."""
    runs = Store(workspace).runs
    for folder in (runs / run, Path(run)):
        with contextlib.suppress(OSError):
            if (folder / RESULTS).is_file():
                return folder.absolute()
    known = [folder.name for folder in runs.iterdir() if folder.is_dir()] if runs.is_dir() else []
    hint = suggestion(run, known) if known else "; there is none yet"
    raise RunNotFoundError(f"no run is called {run!r} in {runs}{hint}")
