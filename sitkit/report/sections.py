"""The sections that plugins add to a report, each checked before anything draws it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sitkit.registry import Registry
from sitkit.report.tables import ReportSection, Table
from sitkit.results.judgements import Judgement
from sitkit.results.model import Results

HOOK = "sitkit_report_sections"

_ANCHOR = re.compile(r"[a-z][a-z0-9-]*")


def report_sections(
    results: Results, judgements: Sequence[Judgement], registry: Registry
) -> tuple[list[ReportSection], list[str]]:
    """Return the sections of all plugins, and one sentence for each that cannot be shown, naming the distribution.

    Whatever a plugin does, the report is written, with the sections of the others and those of its own that are sound.
    """
    found: dict[str, ReportSection] = {}
    problems = []
    for distribution, call in registry.hook_calls(HOOK):
        try:
            made = call(results=results, judgements=judgements)
            if not isinstance(made, list | tuple):
                raise TypeError(f"returned {type(made).__name__}, expected a list of ReportSection")
        # Code of others may raise anything, and must not cost the user the report.
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            problems.append(f"{distribution} adds nothing to this report: {HOOK}: {reason}")
            continue
        for section in made:
            fault = next(_faults(section), None)
            if fault is None and section.anchor in found:
                fault = f"another section has the anchor {section.anchor!r}"
            if fault is None:
                found[section.anchor] = section
            else:
                problems.append(f"a section of {distribution} is left out of this report: {HOOK}: {fault}")
    return list(found.values()), problems


def _faults(section: object) -> Iterator[str]:
    if not isinstance(section, ReportSection):
        yield f"{type(section).__name__} in place of a ReportSection"
        return
    if not isinstance(section.anchor, str) or not _ANCHOR.fullmatch(section.anchor):
        yield f"the anchor {section.anchor!r} is not a lower-case letter followed by letters, digits and -"
    if not isinstance(section.title, str) or not section.title.strip():
        yield f"the title {section.title!r} is not a text"
    if not isinstance(section.note, str):
        yield f"the note is not a text but {type(section.note).__name__}"
    if not isinstance(section.tables, list | tuple):
        yield f"the tables are {type(section.tables).__name__}, expected a tuple of Table"
        return
    for table in section.tables:
        yield from _table_faults(table)


def _table_faults(table: object) -> Iterator[str]:
    if not isinstance(table, Table):
        yield f"{type(table).__name__} in place of a Table"
        return
    if not isinstance(table.title, str) or not isinstance(table.note, str):
        yield f"title and note of the table {table.title!r} must be texts"
    if not isinstance(table.rows, list | tuple):
        yield f"the rows of the table {table.title!r} are {type(table.rows).__name__}, expected a tuple of rows"
        return
    for row in (table.headings, *table.rows):
        if not isinstance(row, list | tuple) or not all(isinstance(text, str) for text in row):
            yield f"a row of the table {table.title!r} is not a tuple of texts: {row!r}"
        elif len(row) != len(table.headings):
            yield f"a row of the table {table.title!r} has {len(row)} cells under {len(table.headings)} headings"
