"""Plans and results on a terminal, or as plain text where there is none."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sitkit.report.tables import Table, pair_table, score_tables, stage_table
from sitkit.report.warnings import warnings_of
from sitkit.results.model import Results

_PLAIN_WIDTH = 160
_NUMERIC = re.compile(r"[-+]?[0-9]|-?$")


def console() -> Console:
    """Return a console for standard output: as wide as the terminal, or wide enough for the tables without one."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def show_results(results: Results, folder: Path, *, verbose: bool = False) -> None:
    """Print what a run found: scores, warnings, where the report lies; ``verbose`` adds pairs and stages."""
    out = console()
    for table in (*score_tables(results), *((pair_table(results), stage_table(results)) if verbose else ())):
        show_table(out, table)
    for text in warnings_of(results):
        out.print(Text(f"! {text}", style="yellow"), soft_wrap=True)
    if not verbose:
        out.print(Text(stage_table(results).note, style="dim"), soft_wrap=True)
    out.print(Text(f"report: {folder / 'report.html'}"), soft_wrap=True)


def show_table(out: Console, table: Table) -> None:
    """Print one table with its title and note."""
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, heading in enumerate(table.headings):
        numeric = all(_NUMERIC.match(row[index]) for row in table.rows)
        drawn.add_column(Text(heading), justify="right" if numeric else "left")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    out.print(drawn)
    if table.note:
        out.print(Text(table.note, style="dim"), soft_wrap=True)
        out.print()


def size_text(count: int) -> str:
    """Return bytes in a unit that fits: ``812 B``, ``3.1 MB`` (a MB is a million bytes)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(seconds: float) -> str:
    """Return a moment (seconds since the epoch) in local time, to the minute."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
