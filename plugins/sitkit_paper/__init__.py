"""The paper as a plugin: its figures and claims beside a run, in a section of every report, and its runs as presets.

Ranaldi and Freitas (2024), arXiv 2405.00402v1. tables.json holds Tables 1, 5, 10, 11, 13 and 14; claims.json what the
paper says, in words of ours that numbers can decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import hookimpl

if TYPE_CHECKING:
    from sitkit.report.tables import ReportSection
    from sitkit.results.judgements import Judgement
    from sitkit.results.model import Results


@hookimpl
def sitkit_presets() -> Sequence[Path]:
    """Return the folder of the paper's runs: paper/table1 and so on."""
    return [Path(__file__).parent / "presets"]


@hookimpl
def sitkit_report_sections(results: Results, judgements: Sequence[Judgement]) -> Sequence[ReportSection]:
    """Lay the run beside the paper, where it has the paper's tasks."""
    from sitkit_paper.beside import paper_section

    section = paper_section(results, judgements)
    return [] if section is None else [section]
