"""The options of the commands that run a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.registry import Registry

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

BENCHMARKS = "B[,B]"


class PluginDefault(click.Option):
    """An option whose default plugins name; its help shows the one that holds."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option and its help, with the default that the registry has for it."""
        record, registry = super().get_help_record(ctx), ctx.find_object(Registry)
        found = () if registry is None else registry.defaults.get(self.name or "", ())
        return (record[0], f"{record[1]}  [default: {','.join(found)}]") if record and found else record


def recipe_options(function: FunctionT) -> FunctionT:
    """Add what every recipe may say: who teaches whom, which questions, seeds, settings, data, costs."""
    return _add(function, _RECIPE)


def running_options(function: FunctionT) -> FunctionT:
    """Add where and how it is run; the command gets ``workspace``, ``name``, ``dry_run`` and ``quiet``."""
    return _add(function, (workspace_option, *_RUNNING, debug_option))


def _add(function: FunctionT, options: Sequence[Callable[[Any], Any]]) -> FunctionT:
    for option in reversed(options):
        function = cast(FunctionT, option(function))
    return function


_RECIPE: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--teacher",
        metavar="SPEC",
        multiple=True,
        help="Who answers the training questions; again for several.  [default: the one the benchmarks name]",
    ),
    click.option(
        "--student",
        metavar="SPEC",
        multiple=True,
        cls=PluginDefault,
        help="The model that learns; again for several.",
    ),
    click.option("--strategy", metavar="NAME", cls=PluginDefault, help="How preference pairs are chosen."),
    click.option("--limit", type=int, metavar="N", help="Take the first N training questions."),
    click.option("--test-limit", type=int, metavar="N", help="Take the first N test questions."),
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of training and sampling.  [default: 0]"),
    click.option(
        "--seeds", type=click.IntRange(1, 10_000), metavar="N", help="Run N seeds, from --seed on, and report the mean."
    ),
    click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE", help="A setting; may be given again."),
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The same keys as YAML; flags win."),
    click.option("--data-dir", metavar="DIR", help="Read benchmarks from this folder instead of the hub."),
    click.option(
        "--drop-duplicates", is_flag=True, default=None, help="Leave out training questions that stand in the test too."
    ),
    click.option(
        "--eval-teacher/--no-eval-teacher",
        default=None,
        help="Score the teacher too: without the trigger, and on the test.  [default: the former, where it is free]",
    ),
    click.option("--max-cost", type=float, metavar="USD", help="Stop before teachers cost more than this."),
)

_RUNNING: tuple[Callable[[Any], Any], ...] = (
    click.option("--name", metavar="NAME", help="Name of the run's folder.  [default: made from the recipe]"),
    click.option(
        "--report-to", metavar="TRACKER", help="Log training and scores to tensorboard, wandb or trackio (a,b: both)."
    ),
    click.option(
        "--executor",
        type=click.Choice(["here", "ray"]),
        default="here",
        show_default=True,
        help="Where stages run: in this process, or on a Ray cluster.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan, and what it would take, and stop."),
    click.option("--quiet", is_flag=True, help="Print only notes and the path of the report."),
)
