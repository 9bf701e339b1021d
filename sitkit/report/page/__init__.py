"""report.html: a run as one page that opens from disk, asks for nothing, and shows the answers behind its numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sitkit.registry import Registry
from sitkit.report.tables import ReportSection, Table
from sitkit.results.model import Results, digest_of
from sitkit.results.rows import StoredRows
from sitkit.store import canonical, write_atomically

PAGE = "report.html"
FIGURES = "figures"

_HEAD = 4096
_SEAL = b"<!-- "


def write_page(
    folder: Path,
    results: Results,
    stored: StoredRows,
    *,
    warnings: Sequence[str] = (),
    ratings: Sequence[Table] = (),
    sections: Sequence[ReportSection] = (),
    registry: Registry | None = None,
) -> Path:
    """Write the page of a run and its figures, and return its path; nothing is done where both are whole and current.

    ``warnings`` is what a reader must be told first, ``ratings`` are judges' tables, ``sections`` come from plugins.
    Whether a stage was run or reused does not make a page out of date: that of a run that had nothing to do stays as
    it is. ``registry`` gives the texts of test questions; without one the installed plugins are asked. Raises OSError
    if the folder cannot be written.
    """
    path = folder / PAGE
    digest = page_digest(folder.name, results, warnings, ratings, sections)
    if _is_written(path, digest, folder / FIGURES):
        return path
    # Imported here, so that a run that has nothing to do needs neither templates nor matplotlib.
    from sitkit.report.figures import drawings
    from sitkit.report.figures.style import THEMED, svg, write_figures
    from sitkit.report.page.answers import chunks, pack
    from sitkit.report.page.content import facts, page_sections
    from sitkit.report.page.render import render
    from sitkit.results.questions import TestQuestions

    questions = TestQuestions(results, stored, registry)
    packed = pack(chunks(results, stored, questions))
    drawn = [(drawing, svg(drawing.paint(THEMED), drawing.name)) for drawing in drawings(results, stored)]
    missing = {f"questions of {benchmark}": why for benchmark, why in questions.missing.items()} | stored.unread
    content = page_sections(
        results, warnings=warnings, drawn=drawn, packed=packed, missing=missing, ratings=ratings, added=sections
    )
    write_figures({drawing.name: picture for drawing, picture in drawn}, folder / FIGURES)
    page = render(folder.name, digest, facts(results), content)
    write_atomically(path, page + _seal(page.encode("utf-8", "backslashreplace"), folder / FIGURES))
    return path


def page_digest(
    name: str,
    results: Results,
    warnings: Sequence[str] = (),
    ratings: Sequence[Table] = (),
    sections: Sequence[ReportSection] = (),
) -> str:
    """Return what determines a page: all that is told, and the code that makes pages."""
    plain = digest_of(replace(results, stages=tuple(replace(stage, reused=False) for stage in results.stages)))
    digest = hashlib.sha256(
        canonical(
            [
                name,
                plain,
                list(warnings),
                [asdict(table) for table in ratings],
                [asdict(section) for section in sections],
            ]
        )
    )
    for source in _sources(files("sitkit.report")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _sources(folder: Traversable) -> list[Traversable]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _sources(entry)
        elif entry.name.endswith((".py", ".js", ".css", ".html")):
            found.append(entry)
    return found


def _is_written(path: Path, digest: str, figures: Path) -> bool:
    try:
        content = path.read_bytes()
        page = content[: content.rfind(_SEAL)]
        return digest.encode("ascii") in page[:_HEAD] and content[len(page) :] == _seal(page, figures).encode("ascii")
    except OSError:
        return False


def _seal(page: bytes, figures: Path) -> str:
    """Return the page's last line, which fits the page and its figures as they were written."""
    digest = hashlib.sha256(page)
    for path in sorted(figures.glob("*.svg")):
        digest.update(canonical([path.name, hashlib.sha256(path.read_bytes()).hexdigest()]))
    return f"{_SEAL.decode()}{digest.hexdigest()} -->\n"
