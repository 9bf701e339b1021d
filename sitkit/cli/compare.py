"""``sitkit compare``."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, run_argument, workspace_option
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.errors import UsageError
from sitkit.registry import Registry
from sitkit.types import Json

if TYPE_CHECKING:
    from sitkit.workspace.compare import Compared, Run


@click.command(short_help="Lay two runs side by side.")
@run_argument("first")
@run_argument("second")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--page",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with the answers of both runs to each question as well.",
)
@workspace_option
@debug_option
@click.pass_obj
def compare(registry: Registry, /, first: str, second: str, as_json: bool, page: Path | None, workspace: Path) -> None:
    """Lay two runs side by side: what differs in the recipe, and each cell that differs.

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder. The difference is
    the second run minus the first, with a paired bootstrap interval and McNemar's exact test over the questions that
    both answered, where their predictions are still stored.
    """
    from sitkit.workspace.compare import Run, compare_runs
    from sitkit.workspace.runs import find_run

    folders = find_run(first, workspace), find_run(second, workspace)
    if folders[0].resolve() == folders[1].resolve():
        echo_message(f"note: {first} and {second} are one and the same run")
    runs = Run.load(folders[0], registry), Run.load(folders[1], registry)
    found = compare_runs(*runs)
    names = _names(folders)
    if page is not None:
        _write(page, runs, found, names, registry)
    if as_json:
        plain = {"first": str(folders[0]), "second": str(folders[1]), **_finite(asdict(found))}
        echo_json(plain)
        return
    if folders[0].name == folders[1].name:
        for name, folder in zip(names, folders, strict=True):
            echo(f"{name}: {folder}")
    _show(found, names)
    if page is not None:
        echo(f"page: {page}")


def _names(folders: tuple[Path, Path]) -> tuple[str, str]:
    first, second = folders[0].name, folders[1].name
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


def _write(page: Path, runs: tuple[Run, Run], found: Compared, names: tuple[str, str], registry: Registry) -> None:
    from sitkit.workspace.compare_report import write_comparison

    try:
        write_comparison(page, runs, found, names, registry)
    except OSError as error:
        raise UsageError(f"--page {page}: {error.strerror}") from error


def _finite(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: Compared, names: tuple[str, str]) -> None:
    from sitkit.cli.show import console, show_table, show_text
    from sitkit.workspace.compare_report import comparison_tables, sameness

    out = console()
    for table in comparison_tables(found, names):
        show_table(out, table)
    for line in sameness(found, names):
        show_text(out, line)
    for text in found.unread:
        echo_message(f"note: no paired test, {text}")
