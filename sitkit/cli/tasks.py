"""``sitkit tasks``."""

from __future__ import annotations

import click

from sitkit.cli.options import debug_option
from sitkit.registry import Registry


@click.group(short_help="Find the lm-eval tasks.")
def tasks() -> None:
    """Find the lm-eval tasks of every plugged-in benchmark, for use with plain lm_eval."""


@tasks.command()
@click.argument("benchmark", required=False)
@debug_option
@click.pass_obj
def path(registry: Registry, benchmark: str | None) -> None:
    """Print the folder of the tasks, for: lm_eval --include_path "$(sitkit tasks path)".

    lm_eval takes one folder: sitkit's own, or with BENCHMARK that of whoever provides this benchmark.
    """
    from sitkit.errors import RecipeError

    wanted = "sitkit" if benchmark is None else registry.component("benchmark", benchmark).provider.distribution
    folder = next((folder for folder, distribution in registry.task_folders.items() if distribution == wanted), None)
    if folder is None:
        raise RecipeError(f"{wanted} provides no folder of lm-eval tasks")
    click.echo(folder)


@tasks.command(name="list")
@debug_option
@click.pass_obj
def list_(registry: Registry) -> None:
    """Print the tasks, one a line: benchmark, prompting, task."""
    from sitkit.errors import PluginError
    from sitkit.types import PROMPTINGS

    for name in registry.first_names("benchmark"):
        try:
            benchmark = registry.benchmark(name)
        except PluginError as error:
            click.echo(f"broken: {error}", err=True)
            continue
        for prompting in PROMPTINGS:
            click.echo(f"{name}\t{prompting}\t{benchmark.task(prompting)}")
