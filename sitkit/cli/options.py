"""Options several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEBUG = "sitkit.debug"
DEFAULT_WORKSPACE = "sitkit-workspace"

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def workspace_option(function: FunctionT) -> FunctionT:
    """Add ``--workspace``."""
    return click.option(
        "--workspace",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_WORKSPACE,
        envvar="SITKIT_WORKSPACE",
        show_default=True,
        help="Folder of runs and stored artifacts (or SITKIT_WORKSPACE).",
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
