"""``sitkit runs``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.types import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sitkit.store.usage import Entry
    from sitkit.workspace.runs import Holding, RunEntry


@click.command(short_help="List the runs of a workspace.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workspace_option
@debug_option
def runs(as_json: bool, workspace: Path) -> None:
    """List the runs of a workspace, the newest first: what each is, how it ended, what it takes on disk.

    A run's number names it in other commands. The accuracy is the mean with CoT over all benchmarks and arms, per
    phase. Artifacts lie in the store once, however many runs refer to them: "shared" is the part of a run's size that
    others need as well.
    """
    from sitkit.store import Store
    from sitkit.store.usage import entries, measure
    from sitkit.workspace.runs import holdings, list_runs, orphans

    store = Store(workspace)
    found, stored = list_runs(workspace), entries(store)
    taken, unused = holdings(found, stored), orphans(found, stored)
    journals = measure(store.journals)[0]
    if as_json:
        plain = {
            "runs": [_plain(number, run, taken[run.name]) for number, run in enumerate(found, 1)],
            "store": sum(entry.size for entry in stored),
            "unused": sum(entry.size for entry in unused),
            "journals": journals,
            "unreadable": [entry.problem for entry in stored if entry.problem],
        }
        echo_json(plain)
        return
    _show(found, taken, workspace)
    if found or stored:
        echo(_sizes(found, stored, unused, journals))
    for run in found:
        if run.problem:
            echo_message(f"{'note' if run.finished is None else 'broken'}: {run.name}: {run.problem}")
    for entry in stored:
        if entry.problem:
            echo_message(f"note: {entry.problem}")


def _plain(number: int, run: RunEntry, holding: Holding) -> Json:
    plain: dict[str, Json] = {
        "number": number,
        "name": run.name,
        "finished": None if run.finished is None else datetime.fromtimestamp(run.finished, UTC).isoformat(),
        "problem": run.problem or None,
        "reached": None if run.reached is None else list(run.reached),
        "size": holding.size,
        "shared": holding.shared,
        "stages": holding.stages,
        "missing": holding.missing,
        **run.shown,
    }
    return plain | ({"accuracy": run.results.mean_accuracy} if run.results else {})


def _show(found: Sequence[RunEntry], taken: Mapping[str, Holding], workspace: Path) -> None:
    from sitkit.cli.show import console, show_table, size_text, time_text
    from sitkit.report.tables import Table

    if not any(run.finished is not None for run in found):
        echo(f"no finished run in {workspace}")
    if not found:
        return
    rows = []
    for number, run in enumerate(found, 1):
        holding = taken[run.name]
        ended = _unfinished(run) if run.finished is None else "broken" if run.problem else time_text(run.finished)
        accuracy = run.results.mean_accuracy.values() if run.results else ()
        missing = f" ({holding.missing} missing)" if holding.missing and run.results else ""
        rows.append(
            (
                str(number),
                run.name,
                ended,
                *(", ".join(values) for values in run.shown.values()),
                " → ".join(f"{100 * value:.1f}" for value in accuracy),
                f"{holding.stages}{missing}",
                f"{size_text(holding.size)} ({size_text(holding.shared)} shared)",
            )
        )
    headings = ("", "run", "finished", "student", "teacher", "strategy", "trained on", "accuracy", "stages", "size")
    show_table(console(), Table(f"Runs in {workspace}", headings, tuple(rows)))


def _unfinished(run: RunEntry) -> str:
    return "not finished" if run.reached is None else f"not finished: stage {run.reached[0]} of {run.reached[1]}"


def _sizes(found: Sequence[RunEntry], stored: Sequence[Entry], unused: Sequence[Entry], journals: int) -> str:
    from sitkit.cli.show import count_text, size_text

    parts = [f"{count_text(len(found), 'run')}, {size_text(sum(entry.size for entry in stored))}"]
    if journals:
        parts.append(f"teachers' answers {size_text(journals)}")
    if unused:
        size = size_text(sum(entry.size for entry in unused))
        parts.append(f"{size} in {count_text(len(unused), 'stage')} that no run refers to (sitkit clean)")
    else:
        parts.append("nothing to clean")
    return "; ".join(parts)
