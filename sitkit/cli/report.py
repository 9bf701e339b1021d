"""``sitkit report``."""

from __future__ import annotations

from pathlib import Path

import click

from sitkit.cli.options import debug_option, plugin_option, run_argument, workspace_option
from sitkit.cli.terminal import echo
from sitkit.registry import Registry


@click.command(short_help="Show a run's report again.")
@run_argument()
@click.option("--html", is_flag=True, help="Print only the path of report.html.")
@click.option("--verbose", is_flag=True, help="Show where pairs came from, and every stage, as well.")
@plugin_option
@workspace_option
@debug_option
@click.pass_obj
def report(
    registry: Registry, /, run: str, workspace: Path, html: bool, verbose: bool, plugins: tuple[str, ...]
) -> None:
    """Show the report of RUN again, and write its report.md and report.html anew.

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder.
    """
    from sitkit.cli.show import show_results
    from sitkit.report.write import write_report
    from sitkit.results.files import load_results
    from sitkit.workspace.runs import find_run

    folder, registry = find_run(run, workspace), registry.with_files(plugins)
    results = load_results(folder, registry)
    page = write_report(folder, results, registry)
    if html:
        echo(page)
    else:
        show_results(results, folder, verbose=verbose)
