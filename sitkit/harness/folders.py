"""Where the lm-eval tasks that come with sitkit lie."""

from __future__ import annotations

from pathlib import Path

from sitkit.errors import PluginError


def tasks_dir() -> Path:
    """Return the folder for lm-eval's ``--include_path``: the installed package's own, else the checkout's.

    Raises `PluginError` if neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "tasks", package.parent / "tasks"):
        if folder.is_dir():
            return folder
    raise PluginError(
        f"sitkit's lm-eval tasks are missing: looked in {package / 'tasks'} and {package.parent / 'tasks'}"
    )
