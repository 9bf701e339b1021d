"""Progress: a live line for each stage on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from sitkit.cli.rich_console import CleanConsole
from sitkit.cli.terminal import echo, echo_message
from sitkit.execution.event_lines import EventLines, duration_text, rate_text, run_left_text
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
        with Plain() as plain:
            yield plain


class _Quiet:
    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            echo_message(f"note: {event.text}")


class Plain(EventLines):
    """Lines on standard error: see `EventLines`."""

    def __init__(self) -> None:
        super().__init__(lambda line: echo(line, err=True))


class Live:
    """A line for each stage that runs (count, rate, loss, time left), one for the whole run above, and over both a line
    for each stage that is done.
    """

    def __init__(self, console: CleanConsole) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            _DoneColumn(Column(no_wrap=True)),
            _RateColumn(Column(no_wrap=True)),
            _LeftColumn(Column(no_wrap=True)),
            console=console,
            transient=True,
            # Steps of a large model take longer than the half minute that rich looks back on.
            speed_estimate_period=600.0,
        )
        self._run = self._progress.add_task("run", total=None, visible=False, left="")
        self._begun: StageStarted | None = None
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
                title = visible(f"{stage.stage} {stage.label}")
                self._tasks[stage.key] = self._progress.add_task(title, total=None)
                self._begun = event
                if total > 1:
                    self._progress.update(self._run, completed=index - 1, total=total, visible=True)
            case StageProgress(stage, done, total, loss, part):
                if stage.key in self._tasks:
                    task = self._tasks[stage.key]
                    self._progress.update(task, completed=done + part, total=total or None, done=done, loss=loss)
                    self._tell_run(stage)
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

    def _tell_run(self, stage: StageInfo) -> None:
        """Have the line of the run say what is left of it: the stage begun last, and those to come."""
        current = next(task for task in self._progress.tasks if task.id == self._tasks[stage.key])
        if self._begun is not None and self._begun.stage.key == stage.key and current.time_remaining is not None:
            self._progress.update(self._run, left=run_left_text(current.time_remaining, self._begun))

    def _drop(self, stage: StageInfo) -> None:
        if stage.key in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage.key))


class _DoneColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        done = task.fields.get("done", task.completed)
        return Text("loading" if task.total is None else f"{done:.0f}/{task.total:.0f}")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if "left" in task.fields:
            return Text("stages", style="cyan")
        loss = task.fields.get("loss")
        rate = rate_text(task.speed) if task.speed else ""
        return Text(rate if loss is None else f"{rate} loss {loss:.3g}".strip(), style="cyan")


class _LeftColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        left = task.fields.get("left", "" if seconds is None else duration_text(seconds))
        return Text(f"{left} left" if left else "", style="dim")
