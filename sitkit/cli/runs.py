"""``sitkit runs``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.types import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sitkit.store.usage import Entry
    from sitkit.workspace.runs import Holding, RunEntry


@click.command(short_help="List the runs of a workspace.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workspace_option
@debug_option
def runs(as_json: bool, workspace: Path) -> None:
    """List the runs of a workspace, the newest first: what each is, how it ended, what it takes on disk.

    The accuracy is the mean with the trigger over all benchmarks, seeds and arms, per phase. Artifacts lie in the
    store once, however many runs refer to them: "shared" is the part of a run's size that others need as well.
    """
    from sitkit.store import Store
    from sitkit.store.usage import entries, measure
    from sitkit.workspace.runs import holdings, list_runs, orphans

    store = Store(workspace)
    found, stored = list_runs(workspace), entries(store)
    taken = holdings(found, stored)
    unused = orphans(found, stored)
    journals = measure(store.journals)[0]
    if as_json:
        listed = [_plain(run, taken[run.name]) for run in found]
        sizes = {"store": sum(one.size for one in stored), "unused": sum(one.size for one in unused)}
        click.echo(json.dumps({"runs": listed, **sizes, "journals": journals}, indent=1, ensure_ascii=False))
        return
    _show(found, taken, stored, unused, journals, workspace)


def _plain(run: RunEntry, holding: Holding) -> Json:
    from sitkit.workspace.runs import SHOWN, headline, several

    plain: dict[str, Json] = {
        "name": run.name,
        "finished": None if run.finished is None else datetime.fromtimestamp(run.finished, UTC).isoformat(),
        "problem": run.problem or None,
        "size": holding.size,
        "shared": holding.shared,
        "stages": holding.stages,
        "missing": holding.missing,
    }
    if run.results:
        plain |= {name: several(run.results["recipe"][name]) for name in SHOWN}
        plain["accuracy"] = headline(run.results)
    return plain


def _show(
    found: Sequence[RunEntry],
    taken: dict[str, Holding],
    stored: Sequence[Entry],
    unused: Sequence[Entry],
    journals: int,
    workspace: Path,
) -> None:
    from sitkit.cli.show import console, show_table, size_text, time_text
    from sitkit.report.tables import Table
    from sitkit.workspace.runs import SHOWN, headline, several

    rows = []
    for run in found:
        if run.results:
            recipe, holding = run.results["recipe"], taken[run.name]
            what = tuple(", ".join(several(recipe[name])) for name in SHOWN)
            accuracy = " → ".join(f"{100 * value:.1f}" for value in headline(run.results).values())
            missing = f" ({holding.missing} missing)" if holding.missing else ""
            amounts = (f"{holding.stages}{missing}", size_text(holding.size), size_text(holding.shared))
            rows.append((run.name, time_text(run.finished or 0.0), *what, accuracy, *amounts))
    headings = (
        "run",
        "finished",
        "student",
        "teacher",
        "strategy",
        "trained on",
        "accuracy",
        "stages",
        "size",
        "shared",
    )
    note = (
        f"{len(rows)} runs; the store takes {size_text(sum(one.size for one in stored))}, of it"
        f" {size_text(sum(one.size for one in unused))} in {len(unused)} stages that no run refers to"
        f" (sitkit clean); the teachers' answers {size_text(journals)}."
    )
    if rows:
        show_table(console(), Table(f"Runs in {workspace}", headings, tuple(rows), note))
    else:
        click.echo(f"no finished run in {workspace}")
    for run in found:
        if run.problem:
            click.echo(f"broken: {run.name}: {run.problem}", err=True)
