"""report.html: a run as one page that opens from disk, asks for nothing, and shows the answers behind its numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sitkit.registry import Registry
from sitkit.report.judgements import load_judgements
from sitkit.store import canonical, write_atomically
from sitkit.types import Json

PAGE = "report.html"

_HEAD = 4096


def write_page(run_folder: Path, results: Json, workspace: Path, registry: Registry | None = None) -> Path:
    """Write the page of a run and its figures, and return its path; nothing is done where both are up to date.

    Whether a stage was run or reused does not make a page out of date: one of a run that had nothing to do stays as
    it is. ``registry`` gives the texts of test questions; without one the installed plugins are asked. Raises OSError
    if the folder cannot be written.
    """
    path = run_folder / PAGE
    judgements = load_judgements(run_folder)
    digest = page_digest(results, run_folder.name, judgements)
    if not _is_written(path, digest):
        from sitkit.report.page.compose import compose

        page, shelf = compose(run_folder.name, digest, results, judgements, workspace, registry)
        shelf.write(run_folder / "figures")
        write_atomically(path, page)
    return path


def page_digest(results: Json, name: str, judgements: Sequence[Json] = ()) -> str:
    """Return what determines a page: the results, the judges' ratings, and the code that makes pages."""
    plain = {**results, "stages": [{**one, "reused": None} for one in results["stages"]]}
    digest = hashlib.sha256(canonical([name, plain, list(judgements)]))
    for source in _sources(files("sitkit.report")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _sources(folder: Traversable) -> list[Traversable]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            found += _sources(entry)
        elif entry.name.endswith((".py", ".js", ".css", ".json")):
            found.append(entry)
    return found


def _is_written(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            return digest.encode("ascii") in file.read(_HEAD)
    except OSError:
        return False
