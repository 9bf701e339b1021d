"""``sitkit lowresource``."""

from __future__ import annotations

from typing import Any

import click

from sitkit.cli.recipe_options import BENCHMARKS, recipe_options, running_options
from sitkit.registry import Registry

FRACTIONS = (0.25, 0.5, 0.75, 1.0)


@click.command(short_help="Smaller and smaller shares of the demonstrations (the paper's Figure 4).")
@click.option("--train-on", metavar=BENCHMARKS, help="Benchmarks of the demonstrations.")
@click.option("--refine-on", metavar=BENCHMARKS, help="Benchmarks refined on.  [default: those trained on]")
@click.option("--eval-on", metavar=BENCHMARKS + "|all", help="Benchmarks scored.")
@click.option(
    "--fraction", type=float, multiple=True, metavar="F", help="A share; again for several.  [default: 0.25 0.5 0.75 1]"
)
@recipe_options
@running_options
@click.pass_obj
def lowresource(registry: Registry, /, fraction: tuple[float, ...], **flags: Any) -> None:
    """Teach with nested shares of the demonstrations: instructed only, refined only, and both (Figure 4).

    A smaller share's questions are among a larger one's, drawn by seed. "Refined only" starts from the untaught
    student. The same recipe in YAML: `fraction: [0.25, 0.5, 0.75, 1.0]` and `methods: [both, refine]`.
    """
    from sitkit.cli.running import run_recipe

    run_recipe(registry, {**flags, "fraction": fraction or FRACTIONS, "methods": ("both", "refine")})
