"""``sitkit compare``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.stored_run import find_run
from sitkit.types import Json

if TYPE_CHECKING:
    from sitkit.report.cells import ScoredCell
    from sitkit.results.significance import Comparison
    from sitkit.workspace.compare import Compared, ComparedCell, Difference


@click.command(short_help="Lay two runs side by side.")
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workspace_option
@debug_option
def compare(first: str, second: str, as_json: bool, workspace: Path) -> None:
    """Lay two runs (names, or folders) side by side: what differs in the recipe, and each cell of both.

    The second run minus the first, with a paired bootstrap interval and McNemar's exact test over the questions that
    both answered, where their predictions are still stored.
    """
    from sitkit.workspace.compare import Run, compare_runs

    folders = find_run(first, workspace), find_run(second, workspace)
    found = compare_runs(Run.load(folders[0]), Run.load(folders[1]))
    if as_json:
        plain = {"first": str(folders[0]), "second": str(folders[1]), **_finite(asdict(found))}
        click.echo(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False))
        return
    one, other = (folder.name for folder in folders)
    if one == other:
        for number, folder in enumerate(folders, 1):
            click.echo(f"{one} ({number}): {folder}")
        one, other = f"{one} (1)", f"{other} (2)"
    _show(found, (one, other))


def _finite(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: Compared, names: tuple[str, str]) -> None:
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    out = console()
    for title, different in (("Recipe", found.recipe), ("Versions", found.versions)):
        if different:
            show_table(out, Table(title, ("", *names), tuple(map(_difference, different))))
        else:
            click.echo(f"{title}: no difference")
    headings = (*found.arm, "phase", "prompting", "benchmark", *names, "difference", "95%", "gained/lost", "p", "n")
    if found.cells:
        show_table(out, Table("Accuracy", headings, tuple(_row(cell) for cell in found.cells), _note(found)))
    for name, count in zip(names, (found.only_first, found.only_second), strict=True):
        if count:
            click.echo(f"note: {count} of the scores of {name} have no counterpart in the other run")
    for text in found.unread:
        click.echo(f"note: no paired test, {text}", err=True)


def _difference(one: Difference) -> tuple[str, ...]:
    return one.name, one.first, one.second


def _note(found: Compared) -> str:
    tests = sum(cell.paired is not None and not cell.same for cell in found.cells)
    return (
        "Accuracy in percent ± standard error; difference: the second run minus the first in points, over the questions"
        " that both answered where there is a test; 95%: paired bootstrap;"
        " gained/lost: questions that only the second, only the first has right; p: McNemar's exact test, one a seed;"
        " n: questions that both answered. same: one stage of the store serves both runs."
        + (f" Of {tests} tests, {0.05 * tests:.1f} are expected below 0.05 by chance alone." if tests > 1 else "")
    )


def _row(cell: ComparedCell) -> tuple[str, ...]:
    # Of runs of different tests, the difference is that of the test: over the questions that both answered.
    difference = cell.second.value - cell.first.value if cell.paired is None else cell.paired.difference
    return (
        *cell.arm,
        cell.first.phase,
        cell.first.prompting,
        cell.first.benchmark,
        _accuracy(cell.first),
        _accuracy(cell.second),
        f"{100 * difference:+.1f}",
        *(("same", "", "", str(cell.first.n)) if cell.same else _paired(cell.paired, cell)),
    )


def _accuracy(cell: ScoredCell) -> str:
    return f"{100 * cell.value:.1f} ± {100 * cell.error:.1f}"


def _paired(found: Comparison | None, cell: ComparedCell) -> tuple[str, str, str, str]:
    if found is None:
        return "-", "-", "-", "0"
    everyone = cell.first.n == cell.second.n == found.n
    return (
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}" if found.gained + found.lost else "-",
        f"{found.gained}/{found.lost}",
        " ".join(f"{p:.2g}" for p in found.p),
        str(found.n) if everyone else f"{found.n} of {cell.first.n} and {cell.second.n}",
    )
