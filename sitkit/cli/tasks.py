"""``sitkit tasks``."""

from __future__ import annotations

import os

import click

from sitkit.cli.options import debug_option
from sitkit.registry import Registry


@click.group(short_help="Find the lm-eval tasks.")
def tasks() -> None:
    """Find the lm-eval tasks of every plugged-in benchmark, for use with plain lm_eval."""


@tasks.command()
@debug_option
@click.pass_obj
def path(registry: Registry) -> None:
    """Print the folders of the tasks, for: lm_eval --include_path "$(sitkit tasks path)"."""
    click.echo(os.pathsep.join(str(folder) for folder in registry.task_folders))


@tasks.command(name="list")
@debug_option
@click.pass_obj
def list_(registry: Registry) -> None:
    """Print the tasks, one a line: benchmark, prompting, task."""
    from sitkit.errors import PluginError
    from sitkit.types import PROMPTINGS

    for name in registry.names("benchmark"):
        try:
            benchmark = registry.benchmark(name)
        except PluginError as error:
            click.echo(f"broken: {error}", err=True)
            continue
        for prompting in PROMPTINGS:
            click.echo(f"{name}\t{prompting}\t{benchmark.task(prompting)}")
