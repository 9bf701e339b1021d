"""``sitkit run``."""

from __future__ import annotations

from typing import Any

import click

from sitkit.cli.recipe_options import BENCHMARKS, PluginDefault, recipe_options, running_options
from sitkit.registry import Registry


@click.command(short_help="Teach, refine and score a student.")
@click.option("--train-on", metavar=BENCHMARKS, cls=PluginDefault, help="Benchmarks of the demonstrations.")
@click.option("--refine-on", metavar=BENCHMARKS, help="Benchmarks refined on.  [default: those trained on]")
@click.option(
    "--eval-on",
    metavar=BENCHMARKS + "|all",
    help="Benchmarks scored.  [default: those trained and refined on, and those scored together with them]",
)
@click.option("--fraction", type=float, multiple=True, metavar="F", help="Nested random share of the questions, 0-1.")
@recipe_options
@running_options
@click.pass_obj
def run(registry: Registry, /, **flags: Any) -> None:
    """Teach, refine and score a student.

    The teacher answers training questions step by step, the student is instruction-tuned on that, answers the
    questions itself, and is refined on pairs of its answers; every phase is scored by lm-eval. The defaults that come
    with sitkit need a CPU and a minute or two, and no download. Every stage is stored: the same command again goes on
    where it was stopped, and a changed one reuses what it shares.

    A SPEC is name[:argument][,key=value]... `sitkit plugins` lists the names, `sitkit settings` what --set may say.
    """
    from sitkit.cli.running import run_recipe

    run_recipe(registry, flags)
