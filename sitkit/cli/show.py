"""Plans and results on a terminal, or as plain text where there is none."""

from __future__ import annotations

import re
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sitkit.plan import Plan
from sitkit.report.tables import Table, pair_table, score_tables, stage_table
from sitkit.report.warnings import remarks
from sitkit.results.artifacts import Stored
from sitkit.store import Store
from sitkit.types import Estimate, Json

_PLAIN_WIDTH = 160
_NUMERIC = re.compile(r"[-+]?[0-9]|-?$")


def console() -> Console:
    """Return a console for standard output: as wide as the terminal, or wide enough for the tables without one."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def show_results(results: Json, folder: Path) -> None:
    """Print the tables of a run, what a reader must know, and where the report lies."""
    out = console()
    for table in (*score_tables(results), pair_table(results), stage_table(results)):
        show_table(out, table)
    for text in remarks(results, Stored(folder.parents[1])):
        out.print(Text(f"! {text}", style="yellow"), soft_wrap=True)
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


def show_plan(plan: Plan, store: Store) -> None:
    """Print each stage of a plan, whether it is stored, how many prompts it will answer, and what teachers cost."""
    from sitkit.execution.dry_run import forecast

    found = forecast(plan, store)
    done, prompts = found.stored, found.prompts
    rows = tuple(
        (one.title, "stored" if one.key in done else "to run", str(prompts.get(one.key, 0) or ""), one.key[:12])
        for one in plan.nodes
    )
    note = (
        f"{len(done)} of {len(plan.nodes)} stages are stored; {sum(prompts.values())} prompts will be answered"
        " by the others."
    )
    if found.alone_stages > len(plan.nodes):
        note += (
            f" A script that makes each of the {len(plan.cells)} scores by itself runs {found.alone_stages} stages and"
            f" answers {found.alone_prompts} prompts."
        )
    out = console()
    show_table(out, Table("Plan", ("stage", "", "prompts", "key"), rows, note))
    if found.estimate is not None:
        out.print(Text(_taking(found.estimate)), soft_wrap=True)


def _taking(estimate: Estimate) -> str:
    price = "no price is known (options price_in=, price_out=)"
    if estimate.cost is not None:
        price = f"at most ${estimate.cost:,.2f}"
    return (
        f"teachers: {estimate.calls} calls, about {estimate.prompt_tokens:,} tokens in and at most"
        f" {estimate.completion_tokens:,} out, {price}"
    )
