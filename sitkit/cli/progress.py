"""Progress: a live line per stage on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

from sitkit.cli.rich_console import CleanConsole
from sitkit.cli.terminal import echo, echo_message
from sitkit.execution.events import (
    Event,
    Listener,
    Notice,
    StageFinished,
    StageProgress,
    StageStarted,
    StageWaiting,
    StatusMessage,
)
from sitkit.plain_text import message_line, visible
from sitkit.types import StageInfo


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener]:
    """Yield the listener that fits where the output goes. Notices are shown even when quiet, on standard error."""
    console = CleanConsole(stderr=True)
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
            echo_message(f"note: {event.text}")


class Plain:
    """One line when a stage starts and one when it is done, none for what is reused."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, event: Event) -> None:
        """Print what happened to standard error."""
        match event:
            case StageStarted(stage, index, total):
                self._last = stage.key
                echo(f"[{index}/{total}] {stage.stage} {stage.label}", err=True)
            case StageFinished(stage, seconds, reused):
                if not reused:
                    # Where several stages run at once, another one may have started since.
                    which = "" if stage.key == self._last else f"{stage.stage} {stage.label} "
                    echo(f"    {which}done in {seconds:.1f} s", err=True)
            case StageWaiting(stage):
                echo(f"waiting: another run is at {stage.stage} {stage.label}", err=True)
            case StatusMessage(_, text):
                echo(f"    {message_line(text)}", err=True)
            case Notice(text):
                echo_message(f"note: {text}")


class Live:
    """A bar with count, rate and time left for each stage that runs, above them a line for each that is done."""

    def __init__(self, console: CleanConsole) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Update what is shown."""
        match event:
            case StageStarted(stage, index, total):
                self._drop(stage)
                title = visible(f"[{index}/{total}] {stage.stage} {stage.label}")
                self._tasks[stage.key] = self._progress.add_task(title, total=None)
            case StageProgress(stage, done, total):
                if stage.key in self._tasks:
                    self._progress.update(self._tasks[stage.key], completed=done, total=total or None)
            case StageFinished(stage, seconds, reused):
                self._drop(stage)
                if not reused:
                    self._console.print(Text(f"✓ {stage.stage} {stage.label}  {seconds:.1f} s", style="green"))
            case StageWaiting(stage):
                self._console.print(Text(f"waiting: another run is at {stage.stage} {stage.label}", style="yellow"))
            case StatusMessage(_, text):
                self._console.print(Text(f"  {message_line(text)}", style="dim"))
            case Notice(text):
                self._console.print(Text(message_line(f"note: {text}"), style="yellow"))

    def _drop(self, stage: StageInfo) -> None:
        if stage.key in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage.key))


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")
