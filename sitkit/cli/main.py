"""The program: find the subcommand among what is plugged in, run it, and turn every error into one line."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

import click

import sitkit
from sitkit.cli.options import DEBUG
from sitkit.errors import SitkitError, UnknownNameError
from sitkit.registry import Registry, load_plugins

USAGE, INTERNAL, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``sitkit`` and exit: 0 done, 2 bad input (one line says what), 130 stopped by Ctrl-C, 1 an error of ours."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; nothing is raised."""
    context: click.Context | None = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character must not cost a finished run.
            stream.reconfigure(errors="replace")
    try:
        group = Commands(load_plugins())
        with group.make_context("sitkit", arguments) as context:
            group.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SitkitError as error:
        return _tell(context, f"{error}", USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _tell(
            context, "stopped; what was finished is kept, and the same command goes on from there", INTERRUPTED
        )
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _tell(context, f"{where}{error.strerror or error}", USAGE)
    except Exception as error:
        text = " ".join(str(error).split())
        return _tell(context, f"internal error: {type(error).__name__}: {text} (--debug shows where)", INTERNAL)
    return 0


def _tell(context: click.Context | None, text: str, code: int) -> int:
    if context is not None and context.meta.get(DEBUG):
        traceback.print_exc()
    click.echo(f"sitkit: {' '.join(text.split())}", err=True)
    return code


class Commands(click.Group):
    """The subcommands that plugins register, each imported only when it is used."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            name="sitkit",
            help="Teach a small language model to reason from a large one, and see how far it got.",
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    callback=_show_version,
                    help="Show the version and exit.",
                )
            ],
        )
        self.registry = registry

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were registered."""
        return list(self.registry.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand."""
        found = self.registry.commands.get(cmd_name)
        return None if found is None else found.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; an unknown one is a `UsageError` that suggests the nearest."""
        if args and args[0] not in self.registry.commands and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], self.registry.commands)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Hand the registry to the subcommand."""
        ctx.obj = self.registry
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands' summaries without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.summary) for command in self.registry.commands.values()])


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"sitkit {sitkit.__version__}")
        ctx.exit()
