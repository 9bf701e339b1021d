"""Remove folders of a workspace: each is renamed first, so that a half-removed one is found by nobody."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from sitkit.errors import StoreError
from sitkit.store.artifacts import Store

_TRASH = ".trash-"
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{32}")
EXPORT = ".export-"
"""What starts the name of a folder in a workspace in which an export is made ready."""


class Trash:
    """A folder beside what is removed. ``put`` takes a path out of the way at once, ``empty`` frees its space."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._folder = workspace / f"{_TRASH}{os.getpid()}-{time.monotonic_ns()}"
        self._count = 0

    def put(self, path: Path) -> None:
        """Take a file or folder away from where it is found.

        Raises `StoreError` for a link, for what a link leads to, and where it cannot be renamed.
        """
        inside = path.parent.resolve() / path.name
        if path.is_symlink() or self._workspace.resolve() not in inside.parents:
            raise StoreError(f"{path} is a link or lies behind one; nothing outside {self._workspace} is removed")
        try:
            self._folder.mkdir(exist_ok=True)
            path.rename(self._folder / f"{self._count}-{path.name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{path} cannot be removed ({error.strerror})") from error
        self._count += 1

    def empty(self) -> None:
        """Remove what was put here, and nothing that a link in it leads to. Raises `StoreError` if some is left."""
        remove(self._folder)


def leftovers(workspace: Path) -> list[Path]:
    """Return what an interrupted clean-up or export has left behind."""
    found = [path for prefix in (_TRASH, EXPORT) for path in workspace.glob(f"{prefix}*")]
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def half_written(store: Store) -> list[Path]:
    """Return the files that a kill has left while they were written; those of stages go with their stage."""
    folders = [folder for folder in (store.runs, store.journals) if not folder.is_symlink()]
    found = [*store.workspace.glob(".*"), *(path for folder in folders for path in folder.rglob(".*"))]
    return sorted(path for path in found if _PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink())


def remove(path: Path) -> None:
    """Remove a folder or file that is out of the way already. Raises `StoreError` naming what cannot be removed."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{error.filename or path} cannot be removed ({error.strerror})") from error
