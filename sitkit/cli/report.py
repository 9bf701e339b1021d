"""``sitkit report``."""

from __future__ import annotations

from pathlib import Path

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.stored_run import find_run
from sitkit.registry import Registry


@click.command(short_help="Show a run's report again.")
@click.argument("run")
@click.option("--html", is_flag=True, help="Print only the path of report.html.")
@workspace_option
@debug_option
@click.pass_obj
def report(registry: Registry, /, run: str, workspace: Path, html: bool) -> None:
    """Show the report of RUN (its name, or its folder) again, and write its report.md and report.html anew."""
    from sitkit.cli.show import show_results
    from sitkit.report.judgements import load_judgements
    from sitkit.report.markdown import markdown
    from sitkit.report.page import write_page
    from sitkit.report.results import REPORT, load_results
    from sitkit.report.warnings import find_remarks
    from sitkit.results.artifacts import Stored
    from sitkit.store import disk_errors, write_atomically

    folder = find_run(run, workspace)
    results = load_results(folder)
    results["remarks"] = find_remarks(results, Stored(folder.parents[1]))
    with disk_errors(folder):
        text = markdown(results, folder.name, load_judgements(folder), Stored(folder.parents[1]))
        write_atomically(folder / REPORT, text)
        page = write_page(folder, results, folder.parents[1], registry)
    if html:
        click.echo(page)
    else:
        show_results(results, folder)
