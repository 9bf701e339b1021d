"""``sitkit compare``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, run_argument, workspace_option
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.registry import Registry
from sitkit.types import Json

if TYPE_CHECKING:
    from sitkit.results.model import PairedTest
    from sitkit.workspace.compare import Compared, ComparedCell


@click.command(short_help="Lay two runs side by side.")
@run_argument("first")
@run_argument("second")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workspace_option
@debug_option
@click.pass_obj
def compare(registry: Registry, /, first: str, second: str, as_json: bool, workspace: Path) -> None:
    """Lay two runs side by side: what differs in the recipe, and each cell that differs.

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder. The difference is
    the second run minus the first, with a paired bootstrap interval and McNemar's exact test over the questions that
    both answered, where their predictions are still stored.
    """
    from sitkit.workspace.compare import Run, compare_runs
    from sitkit.workspace.runs import find_run

    folders = find_run(first, workspace), find_run(second, workspace)
    found = compare_runs(Run.load(folders[0], registry), Run.load(folders[1], registry))
    if as_json:
        plain = {"first": str(folders[0]), "second": str(folders[1]), **_finite(asdict(found))}
        echo_json(plain)
        return
    names = folders[0].name, folders[1].name
    if names[0] == names[1]:
        for number, folder in enumerate(folders, 1):
            echo(f"{folder.name} ({number}): {folder}")
        names = f"{names[0]} (1)", f"{names[1]} (2)"
    _show(found, names)


def _finite(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: Compared, names: tuple[str, str]) -> None:
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    out = console()
    for title, different in (("Recipe", found.recipe), ("Versions", found.versions)):
        if different:
            rows = tuple((entry.name, entry.first, entry.second) for entry in different)
            show_table(out, Table(title, ("", *names), rows))
    alike = [title for title, different in (("recipe", found.recipe), ("versions", found.versions)) if not different]
    if alike:
        echo(f"the same in both: {' and '.join(alike)}")
    again = [cell for cell in found.cells if not cell.same]
    changed = [cell for cell in again if not _alike(cell)]
    if changed:
        headings = (
            *found.arm,
            "phase",
            "prompting",
            "benchmark",
            *names,
            "difference",
            "95%",
            "gained/lost",
            "p",
            "Holm",
            "n",
        )
        show_table(out, Table("Accuracy", headings, tuple(map(_row, changed)), _note(again)))
    for what, cells in (
        ("scored again, every question answered as rightly or wrongly as before", [*filter(_alike, again)]),
        ("the same stages in both", [cell for cell in found.cells if cell.same]),
    ):
        if cells:
            phases = ", ".join(dict.fromkeys(cell.first.phase for cell in cells))
            echo(f"{what}: {len(cells)} of {len(found.cells)} scores ({phases})")
    for name, count in zip(names, (found.only_first, found.only_second), strict=True):
        if count:
            echo(f"note: {count} of the scores of {name} have no counterpart in the other run")
    for text in found.unread:
        echo_message(f"note: no paired test, {text}")


def _alike(cell: ComparedCell) -> bool:
    """Tell whether the figures are the same and no question is answered rightly in one run alone; never where the
    latter cannot be known.
    """
    from sitkit.report.tables import accuracy

    return (
        accuracy(cell.first) == accuracy(cell.second)
        and cell.paired is not None
        and cell.first.n == cell.second.n == cell.paired.n
        and cell.paired.gained == cell.paired.lost == 0
    )


def _note(cells: Sequence[ComparedCell]) -> str:
    from sitkit.cli.show import count_text
    from sitkit.report.tables import error_note

    tests = sum(cell.paired is not None for cell in cells)
    return (
        f"{error_note([cell for pair in cells for cell in (pair.first, pair.second)])}, as in each run's report."
        " Difference: the second run minus the first in points, over the questions that both answered where there is a"
        " test; 95%: paired bootstrap over questions; gained/lost: questions that only the second, only the first has"
        " right; p: McNemar's exact test, one a seed; n: questions that both answered."
        f" Holm: the largest p of a row with Holm's correction over these {count_text(tests, 'test')}."
    )


def _row(cell: ComparedCell) -> tuple[str, ...]:
    from sitkit.report.tables import accuracy

    return (
        *cell.arm,
        cell.first.phase,
        cell.first.prompting,
        cell.first.benchmark,
        accuracy(cell.first),
        accuracy(cell.second),
        f"{100 * cell.difference:+.1f}",
        *_paired(cell.paired, cell),
    )


def _paired(found: PairedTest | None, cell: ComparedCell) -> tuple[str, ...]:
    if found is None:
        return "-", "-", "-", "-", "0"
    known = found.low is not None and found.high is not None and found.gained + found.lost > 0
    everyone = cell.first.n == cell.second.n == found.n
    return (
        f"{100 * (found.low or 0.0):+.1f} to {100 * (found.high or 0.0):+.1f}" if known else "-",
        f"{found.gained}/{found.lost}",
        " ".join(f"{p:.2g}" for p in found.p),
        "-" if cell.holm is None else f"{cell.holm:.2g}",
        str(found.n) if everyone else f"{found.n} of {cell.first.n} and {cell.second.n}",
    )
