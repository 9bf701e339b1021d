"""``sitkit report``."""

from __future__ import annotations

from pathlib import Path

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.stored_run import find_run


@click.command(short_help="Show a run's report again.")
@click.argument("run")
@workspace_option
@debug_option
def report(run: str, workspace: Path) -> None:
    """Show the report of RUN (its name, or its folder) again, and write its report.md anew."""
    from sitkit.cli.show import show_results
    from sitkit.report.markdown import markdown
    from sitkit.report.results import REPORT, load_results
    from sitkit.store import disk_errors, write_atomically

    folder = find_run(run, workspace)
    results = load_results(folder)
    with disk_errors(folder):
        write_atomically(folder / REPORT, markdown(results, folder.name))
    show_results(results, folder)
