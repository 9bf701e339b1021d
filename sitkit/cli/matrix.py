"""``sitkit matrix``."""

from __future__ import annotations

from typing import Any

import click

from sitkit.cli.recipe_options import BENCHMARKS, recipe_options, running_options
from sitkit.registry import Registry


@click.command(short_help="Every train-on x refine-on x eval-on cell of the paper's Table 1.")
@click.option(
    "--tasks",
    metavar=BENCHMARKS,
    help="Trained on one by one, refined on and scored.  [default: those scored together with the defaults of run]",
)
@click.option("--refine-on", metavar=BENCHMARKS, help="Benchmarks refined on.  [default: --tasks]")
@click.option("--eval-on", metavar=BENCHMARKS + "|all", help="Benchmarks scored.  [default: --tasks]")
@click.option(
    "--fraction", type=float, multiple=True, metavar="F", help="Nested random share of the training questions."
)
@recipe_options
@running_options
@click.pass_obj
def matrix(registry: Registry, /, tasks: str | None, **flags: Any) -> None:
    """Instruct a student on each task, refine each on every task, and score all of them (Tables 1, 10 and 11).

    Refined on the task it was instructed on, it is the paper's self-refinement; on another one, its cross
    self-refinement. The whole matrix is one plan: an instructed student serves every task it is refined on, and
    what other runs in the workspace have made is reused. The same recipe in YAML: `cross: true`.
    """
    from sitkit.cli.running import run_recipe
    from sitkit.plan import default_tasks

    given = {"train_on": tasks, "cross": True}
    if tasks is None and flags["config"] is None:
        given["train_on"] = ",".join(default_tasks(registry))
    run_recipe(registry, {**flags, **given})
