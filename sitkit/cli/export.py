"""``sitkit export``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.stored_run import find_run
from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.registry import Registry

if TYPE_CHECKING:
    from sitkit.results.choose import Chosen
    from sitkit.store import Artifact
    from sitkit.types import Json


@click.command(short_help="Write a run's student as a folder.")
@click.argument("run")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--phase", type=click.Choice(["instruct", "refine"]), default="refine", show_default=True)
@click.option("--merge", is_flag=True, help="Write the whole model instead of the adapter.")
@click.option("--student", metavar="SPEC", help="Which student, where the run has several.")
@click.option("--teacher", metavar="SPEC", help="Which teacher's, where the run has several.")
@click.option("--train-on", metavar="B[,B]", help="What it was trained on.")
@click.option("--refine-on", metavar="B[,B]", help="What it was refined on.")
@click.option("--fraction", type=float, metavar="F", help="Of how much of the training questions.")
@click.option("--method", type=click.Choice(["both", "instruct", "refine"]), help="Which way of teaching.")
@click.option("--seed", type=int, metavar="N", help="Which seed of the run.  [default: its first]")
@workspace_option
@debug_option
@click.pass_obj
def export(
    registry: Registry,
    /,
    run: str,
    directory: Path,
    phase: Literal["instruct", "refine"],
    merge: bool,
    workspace: Path,
    **wanted: Any,
) -> None:
    """Write a student of RUN to DIRECTORY as an adapter, or merged into its base model (safetensors).

    README.md beside it is its model card, in the hub's format. Of a run with several students, the options say which.
    """
    from sitkit.components import Component
    from sitkit.report.results import load_results
    from sitkit.results.choose import choose
    from sitkit.spec import parse_spec
    from sitkit.stages.training import ADAPTER
    from sitkit.store import Store, disk_errors

    folder = find_run(run, workspace)
    results = load_results(folder)
    for name in ("train_on", "refine_on"):
        if wanted[name] is not None:
            wanted[name] = _benchmarks(registry, wanted[name])
    chosen = choose(results, phase, wanted, run)
    # A run's folder lies in its workspace, whichever workspace is the default here.
    store = Store.of_run(folder)
    artifact = store.find(phase, chosen.key)
    if artifact is None:
        raise RunNotFoundError(
            f"the {phase} stage of {run} is not in its store: run `sitkit run` on its recipe.yaml again"
        )
    spec = parse_spec(chosen.arm["student"])
    student = registry.student(spec)
    distribution = registry.component("student", spec.name).provider.distribution
    part = Component("student", chosen.arm["student"], student, {"distribution": distribution})
    try:
        with disk_errors(directory):
            if directory.exists() and any(directory.iterdir()):
                raise RecipeError(f"{directory} is not empty; choose another folder")
            # Half an export must not stand where a whole one is looked for.
            partial = directory.with_name(f".{directory.name}.{os.getpid()}")
            try:
                with part.calling("export"):
                    student.export(artifact.folder / ADAPTER, partial, merge=merge)
                _write_card(partial, directory.absolute().name, chosen, artifact, results)
                if directory.exists():
                    directory.rmdir()
                partial.rename(directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        student.close()
    click.echo(directory)


def _benchmarks(registry: Registry, text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    return tuple(registry.first_name("benchmark", name) for name in names)


def _write_card(folder: Path, title: str, chosen: Chosen, artifact: Artifact, results: Json) -> None:
    from sitkit.publish.card import README, Exported, model_card
    from sitkit.results.artifacts import Stored

    path = folder / README
    # A student's plugin may have more to say of its models than we know.
    if not path.exists():
        stored = Stored(artifact.folder.parents[2])
        exported = Exported(title, folder, artifact.stage, chosen.arm, results, stored)
        path.write_text(model_card(exported), encoding="utf-8")
