"""``sitkit export``."""

from __future__ import annotations

import os
import shutil
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
    from sitkit.parts import Part
    from sitkit.recipe import load_recipe, recipe_from
    from sitkit.report.results import RECIPE, load_results
    from sitkit.spec import parse_spec
    from sitkit.stages.training import ADAPTER
    from sitkit.store import Store, disk_errors

    folder = find_run(run, workspace)
    recipe = recipe_from(load_recipe(folder / RECIPE), str(folder / RECIPE))
    chosen = recipe.seeds[0] if seed is None else seed
    if chosen not in recipe.seeds:
        raise RecipeError(f"--seed {chosen}: the run has {', '.join(map(str, recipe.seeds))}")
    wanted = [one for one in load_results(folder)["students"] if (one["phase"], one["seed"]) == (phase, chosen)]
    # A run's folder lies in its workspace, whichever workspace is the default here.
    artifact = Store(folder.parents[1]).find(str(wanted[0]["stage"]), str(wanted[0]["key"])) if wanted else None
    if artifact is None:
        raise RunNotFoundError(
            f"the {phase} stage of {run} is not in its store: run `sitkit run` on its recipe.yaml again"
        )
    spec = parse_spec(recipe.student)
    student = registry.student(spec)
    distribution = registry.part("student", spec.name).provider.distribution
    part = Part("student", recipe.student, student, {"distribution": distribution})
    try:
        with disk_errors(directory):
            if directory.exists() and any(directory.iterdir()):
                raise RecipeError(f"{directory} is not empty; choose another folder")
            # Half an export must not stand where a whole one is looked for.
            partial = directory.with_name(f".{directory.name}.{os.getpid()}")
            try:
                with part.calling("export"):
                    student.export(artifact.folder / ADAPTER, partial, merge=merge)
                if directory.exists():
                    directory.rmdir()
                partial.rename(directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        student.close()
    click.echo(directory)
