"""Run a recipe from the command line: plan it, show it or walk it, write its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from sitkit.cli.flags import make_recipe
from sitkit.registry import Registry

if TYPE_CHECKING:
    from sitkit.execution.events import Listener
    from sitkit.execution.walk import Outcome
    from sitkit.plan import Plan
    from sitkit.store import Store


def run_recipe(registry: Registry, options: Mapping[str, Any]) -> None:
    """Run what the options of `sitkit.cli.recipe_options` and the flags of a command say. Raises `SitkitError`."""
    from sitkit.plan import build_plan
    from sitkit.recipe import check_name, default_name
    from sitkit.store import Store, make_key

    given = dict(options)
    workspace, name = given.pop("workspace").absolute(), given.pop("name")
    dry_run, quiet, executor, report_to = (given.pop(key) for key in ("dry_run", "quiet", "executor", "report_to"))
    settings, seed, seeds, config = (given.pop(key) for key in ("settings", "seed", "seeds", "config"))
    # Options that may be given again are empty where they were not given.
    given = {key: None if value == () else value for key, value in given.items()}
    trackers = tuple(dict.fromkeys(name.strip() for name in (report_to or "").split(",") if name.strip()))
    if trackers:
        from sitkit_trackers import check_trackers

        check_trackers(trackers)
        settings = (f"train.report_to={','.join(trackers)}", *settings)
    recipe = make_recipe(given, settings, seed, seeds, config)
    plan = build_plan(recipe, registry)
    store = Store(workspace)
    title = check_name(name) if name else default_name(plan.recipe, make_key([one.key for one in plan.nodes]))
    if dry_run:
        from sitkit.cli.show import show_plan

        show_plan(plan, store)
        return
    from sitkit.cli.interrupts import interruptible
    from sitkit.cli.progress import listening
    from sitkit.cli.show import show_results
    from sitkit.report.write import write_run
    from sitkit.store.usage import in_use

    folder = workspace / "runs" / title
    if "tensorboard" in trackers:
        # Where transformers writes while it trains; the folder is rewritten from the store's curves afterwards.
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
    if "wandb" in trackers:
        os.environ.setdefault("WANDB_PROJECT", "sitkit")
    try:
        with in_use(store), listening(quiet=quiet) as shown, interruptible(shown) as listener:
            outcome = _run(executor)(plan, store, registry, listener)
            results = write_run(folder, plan, outcome, workspace, registry)
    finally:
        plan.close()
    if trackers:
        from sitkit_trackers import log_run

        log_run(trackers, folder, results, workspace)
    if quiet:
        click.echo(folder / "report.html")
    else:
        show_results(results, folder)


def _run(executor: str) -> Callable[[Plan, Store, Registry, Listener], Outcome]:
    if executor == "ray":
        from sitkit.execution.ray_executor import run_on_ray

        return run_on_ray
    from sitkit.execution.walk import run_plan

    return run_plan
