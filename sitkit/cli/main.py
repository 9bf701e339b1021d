"""The program: find the subcommand among what is plugged in, run it, and turn every error into one line."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import sitkit
from sitkit.cli.options import DEBUG
from sitkit.cli.terminal import echo, echo_message
from sitkit.errors import PluginError, SitkitError, UnknownNameError, reason
from sitkit.execution.interrupts import Terminated, terminable
from sitkit.providers import OURS
from sitkit.registry import Registry, load_plugins

USAGE, INTERNAL, INTERRUPTED, TERMINATED = 2, 1, 130, 143
_STOPPED = "stopped; what was finished is kept, and the same command goes on from there"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``sitkit`` and exit: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM, 1 an error of ours."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character must not cost a finished run.
            stream.reconfigure(errors="replace")
    try:
        registry = load_plugins()
    except KeyboardInterrupt as stopped:
        sys.exit(_tell([], f"stopped {stopped}", INTERRUPTED))
    Program(registry).main(None if arguments is None else list(arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; nothing is raised."""
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else INTERNAL
    return 0


class Program(click.Group):
    """The subcommands that plugins register, each imported only when it is used."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            name="sitkit",
            help="Teach a small language model to reason from a large one, and see how far it got.",
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        click.version_option(sitkit.__version__, message="sitkit %(version)s")(self)
        self.registry = registry

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = "sitkit", **extra: Any
    ) -> NoReturn:
        """Run the program and exit; the same as click's own, but for how errors are told."""
        context: list[click.Context] = []
        caught: list[type[KeyboardInterrupt]] = []
        extra["standalone_mode"] = False
        try:
            with terminable() as caught:
                sys.exit(_code(super().main(args, prog_name, obj=context, **extra)))
        except click.Abort as error:
            code = _tell(context, _STOPPED, TERMINATED if isinstance(error.__cause__, Terminated) else INTERRUPTED)
        except click.ClickException as error:
            code = _show(error)
        except SitkitError as error:
            code = _tell(context, str(error), USAGE)
        except BrokenPipeError:
            sys.stderr.close()
            code = 0
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            code = _tell(context, f"{where}{error.strerror or error}", USAGE)
        except Exception as error:
            if caught:
                # Compiled code that calls back turns an interrupt that lands there into an error of its own.
                sys.exit(_tell(context, _STOPPED, TERMINATED if caught[-1] is Terminated else INTERRUPTED))
            code = self._unexpected(context, error)
        sys.exit(code)

    def _unexpected(self, context: Sequence[click.Context], error: Exception) -> int:
        command = self.registry.commands.get((context[0].invoked_subcommand if context else None) or "")
        where = "(--debug shows where)"
        if command is None or command.provider.distribution == OURS:
            return _tell(context, f"internal error: {reason(error)} {where}", INTERNAL)
        who = f"{command.provider.distribution}: sitkit_commands: {command.name}"
        return _tell(context, f"{who} failed with {reason(error)} {where}", USAGE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were registered."""
        return list(self.registry.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand."""
        found = self.registry.commands.get(cmd_name)
        if found is None:
            return None
        command = found.load()
        if not isinstance(command, click.Command):
            where = f"{found.provider.distribution}: sitkit_commands: {found.name}: {found.place}"
            raise PluginError(f"{where} is {type(command).__name__}, not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; an unknown one is a `UsageError` that suggests the nearest."""
        if args and args[0] not in self.registry.commands and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], self.registry.commands)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Hand the registry to the subcommand, and the context to whoever tells of errors."""
        ctx.obj.append(ctx)
        ctx.obj = self.registry
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands' summaries without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.summary) for command in self.registry.commands.values()])


def _code(returned: object) -> int:
    # click hands on what a command returned, and the exit code of --help.
    return returned if isinstance(returned, int) and not isinstance(returned, bool) else 0


def _show(error: click.ClickException) -> int:
    # As click shows it: the command's usage, and what is wrong, which repeats what was typed.
    shown = io.StringIO()
    error.show(shown)
    for line in shown.getvalue().splitlines():
        echo_message(line)
    return error.exit_code


def _tell(context: Sequence[click.Context], text: str, code: int) -> int:
    if any(found.meta.get(DEBUG) for found in context):
        echo(traceback.format_exc(), err=True)
    echo_message(f"sitkit: {text}")
    return code
