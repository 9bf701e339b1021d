"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem

from sitkit.registry import Registry, load_plugins
from sitkit.validation import read_value, shown

DEBUG = "sitkit.debug"

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]


def together(*options: Decorator) -> Decorator:
    """Return a decorator that adds all of these options, in this order."""

    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def workspace_option(function: FunctionT) -> FunctionT:
    """Add ``--workspace``."""
    from sitkit.api import WORKSPACE

    return click.option(
        "--workspace",
        type=click.Path(path_type=Path, file_okay=False),
        default=WORKSPACE,
        envvar="SITKIT_WORKSPACE",
        show_default=True,
        callback=_workspace,
        help="Folder of runs and stored artifacts (or SITKIT_WORKSPACE).",
    )(function)


def _workspace(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    # Path("") is the current folder, which nobody means who leaves a variable empty.
    if not str(value) or value == Path():
        raise click.BadParameter("is empty; name a folder", ctx, param)
    return value.absolute()


def run_argument(name: str = "run") -> Callable[[FunctionT], FunctionT]:
    """Add the argument RUN: a name, the beginning of one, a number of `sitkit runs`, ``last``, or a folder."""
    return click.argument(name, metavar="RUN", shell_complete=_complete_runs)


def plugin_option(function: FunctionT) -> FunctionT:
    """Add ``--plugin``: a plugin that is one file."""
    return click.option(
        "--plugin",
        "plugins",
        type=click.Path(dir_okay=False),
        multiple=True,
        metavar="FILE",
        help="A Python file that plugs in parts of your own; repeat for several.",
    )(function)


def debug_option(function: FunctionT) -> FunctionT:
    """Add ``--debug``: show the traceback behind an error."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback behind an error.",
    )(function)


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    # Contexts share their meta with their parents, so the program sees it after the command has failed.
    if value:
        ctx.meta[DEBUG] = True


def names_of(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a shell completion of the names of kinds of components; of several with commas, the last is completed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, word = incomplete.rpartition(",")
        registry = load_plugins()
        names = dict.fromkeys(name for kind in kinds for name in registry.names(kind))
        return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(word)]

    return complete


def _complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from sitkit.api import WORKSPACE
    from sitkit.store import Store

    runs = Store(Path(ctx.params.get("workspace") or WORKSPACE)).runs
    names = sorted(folder.name for folder in runs.iterdir() if folder.is_dir()) if runs.is_dir() else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Number(click.ParamType[Any]):
    """A number within bounds, in the digits 0 to 9; what does not fit is said in the words that settings have."""

    def __init__(self, kind: type, low: float | None = None, high: float | None = None) -> None:
        self.name = "whole number" if kind is int else "number"
        self.kind = Annotated[kind, msgspec.Meta(ge=low, le=high)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        if isinstance(value, str) and not value.isascii():
            # Python reads the digits of every script.
            self.fail(f"{value!r} is not a number in the digits 0 to 9", param, ctx)
        try:
            return read_value(self.kind, value, text=True)
        except ValueError as error:
            self.fail(f"{error}, got {shown(value, quoted=True)}", param, ctx)


Whole, Real = partial(Number, int), partial(Number, float)


class ComponentName(click.ParamType[str]):
    """A registered name of a kind; plugins add theirs, so the choices are known once the registry is."""

    def __init__(self, kind: str) -> None:
        self.kind = self.name = kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names there are."""
        return f"[{'|'.join(_registered(ctx or click.get_current_context(silent=True), self.kind))}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises `UnknownNameError` if there is no such one."""
        registry = None if ctx is None else ctx.find_object(Registry)
        if registry is not None:
            registry.component(self.kind, value)
        return value


def _registered(ctx: click.Context | None, kind: str) -> Sequence[str]:
    registry = None if ctx is None else ctx.find_object(Registry)
    return ["NAME"] if registry is None else registry.names(kind)


class PluginDefault(click.Option):
    """An option whose default plugins name; its help shows the one that holds."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help, with the default that the registry has for it."""
        record, registry = super().get_help_record(ctx), ctx.find_object(Registry)
        found = () if registry is None else registry.defaults.get(self.name or "", ())
        return (record[0], f"{record[1]}  [default: {','.join(found)}]") if record and found else record


choosing = together(
    click.option("--student", metavar="SPEC", help="Which student, where the run has several."),
    click.option("--teacher", metavar="SPEC", help="Which teacher's, where the run has several."),
    click.option("--strategy", metavar="SPEC", help="By which strategy it was refined, where the run has several."),
    click.option("--train-on", metavar="B[,B]", help="Which benchmarks it was trained on, where the run has several."),
    click.option("--refine-on", metavar="B[,B]", help="Which benchmarks it was refined on, where the run has several."),
    click.option(
        "--fraction", type=Real(), metavar="F", help="Which share of the training questions, where the run has several."
    ),
    click.option(
        "--method",
        type=click.Choice(["both", "instruct", "refine"]),
        help="Which way of learning, where the run has several.",
    ),
)
"""What says which student of a run is meant; see `sitkit.results.arms.PICKERS`."""
