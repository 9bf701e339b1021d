"""Progress: a live line per stage on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sitkit.events import Event, Listener, Notice, StageFinished, StageProgress, StageStarted, StageWaiting


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener]:
    """Yield the listener that fits where the output goes. Notices are shown even when quiet, on standard error."""
    console = Console(stderr=True)
    if quiet:
        yield _Quiet()
    elif console.is_terminal:
        with Live(console) as live:
            yield live
    else:
        yield Plain()


class _Quiet:
    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            click.echo(f"note: {event.text}", err=True)


class Plain:
    """One line when a stage starts and one when it is done; reused stages share one line."""

    def __call__(self, event: Event) -> None:
        """Print what happened to standard error."""
        match event:
            case StageStarted(stage, index, total):
                click.echo(f"[{index}/{total}] {stage.stage} {stage.label}", err=True)
            case StageFinished(stage, seconds, reused):
                if not reused:
                    click.echo(f"    done in {seconds:.1f} s", err=True)
            case StageWaiting(stage):
                click.echo(f"waiting: another run is at {stage.stage} {stage.label}", err=True)
            case Notice(text):
                click.echo(f"note: {text}", err=True)


class Live:
    """A bar with count, rate and time left for the stage that runs, above it a line for each that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Update what is shown."""
        match event:
            case StageStarted(stage, index, total):
                self._drop()
                self._task = self._progress.add_task(f"[{index}/{total}] {stage.stage} {stage.label}", total=None)
            case StageProgress(_, done, total):
                if self._task is not None:
                    self._progress.update(self._task, completed=done, total=total or None)
            case StageFinished(stage, seconds, reused):
                self._drop()
                if not reused:
                    self._console.print(Text(f"✓ {stage.stage} {stage.label}  {seconds:.1f} s", style="green"))
            case StageWaiting(stage):
                self._console.print(Text(f"waiting: another run is at {stage.stage} {stage.label}", style="yellow"))
            case Notice(text):
                self._console.print(Text(f"note: {text}", style="yellow"))

    def _drop(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")
