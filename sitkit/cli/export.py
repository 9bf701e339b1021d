"""``sitkit export`` and ``sitkit export-data``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from sitkit.cli.options import (
    Whole,
    choosing,
    debug_option,
    plugin_option,
    run_argument,
    together,
    workspace_option,
)
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.registry import Registry
from sitkit.types import Json

_choosing = together(
    choosing,
    click.option("--seed", type=Whole(), metavar="N", help="Which seed of the run.  [default: its first]"),
)

_pushing = together(
    click.option("--push", metavar="ORG/NAME", help="Upload it to the Hugging Face hub too, private."),
    click.option("--public", is_flag=True, help="With --push: anybody may see a repository that is made for it."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    plugin_option,
    workspace_option,
    debug_option,
)


@click.command(short_help="Write a run's student as a folder.")
@run_argument()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--phase",
    type=click.Choice(["instruct", "refine"]),
    default="refine",
    show_default=True,
    help="Which phase's student.",
)
@click.option("--no-questions", is_flag=True, help="Leave out the test questions of own benchmarks and their tasks.")
@click.option("--merge", is_flag=True, help="Write the whole model instead of the adapter.")
@_choosing
@_pushing
@click.pass_obj
def export(
    registry: Registry,
    /,
    run: str,
    directory: Path,
    phase: Literal["instruct", "refine"],
    merge: bool,
    no_questions: bool,
    push: str | None,
    public: bool,
    as_json: bool,
    workspace: Path,
    plugins: tuple[str, ...],
    **wanted: Any,
) -> None:
    """Write a student of RUN to DIRECTORY as an adapter, or merged into its base model (safetensors).

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder. README.md beside the weights is
    the model card, in the hub's format. Of a run with several students, the options say which. Where it was scored on
    questions of your own (file:, hub:), `tasks` holds them and the lm-eval tasks that repeat the score. --push uploads
    the folder with the token of HF_TOKEN or `hf auth login`.
    """
    from sitkit.publish.export import export as write
    from sitkit.stages.evaluate import TASKS
    from sitkit.workspace.runs import find_run

    folder, registry = find_run(run, workspace), registry.with_files(plugins)
    _check_push(push, public)
    written = write(
        folder, directory, phase=phase, merge=merge, registry=registry, wanted=wanted, questions=not no_questions
    )
    if not as_json and (written / TASKS).is_dir():
        names = ", ".join(sorted(folder.name for folder in (written / TASKS).iterdir()))
        echo_message(f"note: {TASKS}/ holds the test questions of {names}; --no-questions leaves them out")
    plain = {"directory": str(written), "run": folder.name, "phase": phase, "merged": merge}
    _finish(written, directory, plain, "model", push, public=public, as_json=as_json)


@click.command(short_help="Write what a run's student was trained on as a data set.")
@run_argument()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--license", metavar="ID", help="The licence you give it, by the hub's name (cc-by-4.0, …).")
@_choosing
@_pushing
@click.pass_obj
def export_data(
    registry: Registry,
    /,
    run: str,
    directory: Path,
    license: str | None,
    push: str | None,
    public: bool,
    as_json: bool,
    workspace: Path,
    plugins: tuple[str, ...],
    **wanted: Any,
) -> None:
    """Write the demonstrations and preference pairs that a student of RUN was trained on to DIRECTORY, as a data set.

    JSON lines in TRL's columns (prompt and completion; prompt, chosen and rejected), which `datasets.load_dataset`
    reads, and README.md, the data set's card: where the rows come from, by which settings, under which licence. Of a
    run with several students, the options say which. The questions are in it, your own too. --push uploads the folder
    with the token of HF_TOKEN or `hf auth login`.
    """
    from sitkit.publish.dataset import export_data as write
    from sitkit.workspace.runs import find_run

    folder, registry = find_run(run, workspace), registry.with_files(plugins)
    _check_push(push, public)
    written = write(folder, directory, registry=registry, wanted=wanted, license=license)
    plain = {"directory": str(written), "run": folder.name}
    _finish(written, directory, plain, "dataset", push, public=public, as_json=as_json)


def _check_push(push: str | None, public: bool) -> None:
    if push is None and public:
        raise click.UsageError("--public says who may see what --push uploads: give --push ORG/NAME")
    if push is not None:
        from sitkit.publish.push import check_push

        check_push(push)


def _finish(
    written: Path,
    directory: Path,
    plain: dict[str, Json],
    kind: Literal["model", "dataset"],
    repo: str | None,
    *,
    public: bool,
    as_json: bool,
) -> None:
    if repo is not None:
        from sitkit.publish.push import push

        plain["url"] = push(written, repo, kind, public=public)
    if as_json:
        echo_json(plain)
        return
    echo(directory)
    if repo is not None:
        echo(plain["url"])
