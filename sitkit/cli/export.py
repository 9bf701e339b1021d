"""``sitkit export``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.stored_run import find_run
from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.registry import Registry


@click.command(short_help="Write a run's student as a folder.")
@click.argument("run")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--phase", type=click.Choice(["instruct", "refine"]), default="refine", show_default=True)
@click.option("--merge", is_flag=True, help="Write the whole model instead of the adapter.")
@click.option("--seed", type=int, help="Which seed of the run.  [default: its first]")
@workspace_option
@debug_option
@click.pass_obj
def export(
    registry: Registry,
    run: str,
    directory: Path,
    phase: Literal["instruct", "refine"],
    merge: bool,
    seed: int | None,
    workspace: Path,
) -> None:
    """Write the student of RUN to DIRECTORY as an adapter, or merged into its base model (safetensors)."""
    from sitkit.plan import build_plan
    from sitkit.recipe import load_recipe, recipe_from
    from sitkit.report.results import RECIPE
    from sitkit.stages.training import ADAPTER
    from sitkit.store import Store

    path = find_run(run, workspace) / RECIPE
    recipe = recipe_from(load_recipe(path), str(path))
    chosen = recipe.seeds[0] if seed is None else seed
    if chosen not in recipe.seeds:
        raise RecipeError(f"--seed {chosen}: the run has {', '.join(map(str, recipe.seeds))}")
    if directory.exists() and any(directory.iterdir()):
        raise RecipeError(f"{directory} is not empty; choose another folder")
    plan = build_plan(recipe, registry)
    index = recipe.seeds.index(chosen)
    node = plan.refined[index] if phase == "refine" else plan.refined[index].stage.inputs[0]
    artifact = Store(workspace).find(node.stage.name, node.key)
    if artifact is None:
        raise RunNotFoundError(
            f"the {phase} stage of {run} is not in the store of {workspace} (or was made by other versions):"
            f" run `sitkit run --config {path}` again"
        )
    try:
        plan.student.made.export(artifact.folder / ADAPTER, directory, merge=merge)
    finally:
        plan.close()
    click.echo(directory)
