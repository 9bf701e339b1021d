"""``sitkit clean``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import Real, debug_option, workspace_option
from sitkit.cli.terminal import echo, echo_json
from sitkit.errors import UsageError

if TYPE_CHECKING:
    from sitkit.workspace.cleanup import Cleanup


@click.command(short_help="Remove what no run refers to, or a run.")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--older-than",
    type=Real(0),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="Remove only what has not changed for so many days, since an interrupted run goes on from it.",
)
@click.option(
    "--journals", is_flag=True, help="Also remove teachers' answers older than that; they may have cost money."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes or --dry-run.")
@workspace_option
@debug_option
def clean(
    runs: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    older_than: float,
    journals: bool,
    as_json: bool,
    workspace: Path,
) -> None:
    """Remove each RUN (its whole name) and the stages that no other run refers to; without RUN, whatever no run refers
    to.

    The teachers' answers stay in journals/, unless --journals. Nothing is removed while a run is under way in the
    workspace, and links are not followed.
    """
    from sitkit.cli.show import size_text
    from sitkit.store import Store
    from sitkit.store.usage import cleaning
    from sitkit.workspace.cleanup import DAY, CleanRequest, busy, carry_out, plan_cleanup

    request, now = CleanRequest(workspace, runs, journals, older_than * DAY), time.time()
    found = plan_cleanup(request, now)
    if as_json:
        if not (yes or dry_run):
            raise UsageError("--json needs --yes or --dry-run: clean asks before it removes anything")
        _print_json(found if dry_run or not found.items else carry_out(request, found, now), removed=not dry_run)
        return
    _show(found, older_than)
    if not found.items:
        echo("nothing to remove")
        return
    if dry_run:
        with cleaning(Store(workspace)) as alone:
            echo("nothing was removed (--dry-run)" if alone else f"note: {busy(workspace)}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("clean asks before it removes anything, and there is no terminal to ask on: say --yes")
        click.confirm("Remove this?", abort=True)
    removed = carry_out(request, found, now)
    echo(f"removed {size_text(removed.size)}")


def _print_json(found: Cleanup, *, removed: bool) -> None:
    items, young = (
        [{"kind": item.kind, "path": str(item.path), "size": item.size} for item in part]
        for part in (found.items, found.young)
    )
    plain = {"removed": removed, "size": found.size, "items": items, "young": young, "notes": list(found.notes)}
    echo_json(plain)


def _show(found: Cleanup, older_than: float) -> None:
    from sitkit.cli.show import console, show_table, size_text
    from sitkit.report.tables import Table
    from sitkit.workspace.cleanup import OTHER

    kinds = Counter(item.kind for item in found.items if item.kind != "run")
    rows = [("run", item.path.name, "1", size_text(item.size)) for item in found.items if item.kind == "run"]
    for kind, count in kinds.items():
        total = sum(item.size for item in found.items if item.kind == kind)
        rows.append(("other" if kind in OTHER else "stages", kind, str(count), size_text(total)))
    if rows:
        note = f"{size_text(found.size)} in all."
        show_table(console(), Table("To remove", ("", "what", "count", "size"), tuple(rows), note))
    if found.young:
        size = size_text(sum(item.size for item in found.young))
        echo(
            f"note: {len(found.young):,} more ({size}) changed in the last {older_than:g} days and stay: an interrupted"
            " run goes on from there (--older-than 0 also removes these)"
        )
    for text in found.notes:
        echo(f"note: {text}")
