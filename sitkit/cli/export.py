"""``sitkit export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from sitkit.cli.options import Real, Whole, debug_option, plugin_option, run_argument, workspace_option
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.registry import Registry


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
@click.option("--student", metavar="SPEC", help="Which student, where the run has several.")
@click.option("--teacher", metavar="SPEC", help="Which teacher's, where the run has several.")
@click.option("--strategy", metavar="SPEC", help="By which strategy it was refined, where the run has several.")
@click.option("--train-on", metavar="B[,B]", help="Which benchmarks it was trained on, where the run has several.")
@click.option("--refine-on", metavar="B[,B]", help="Which benchmarks it was refined on, where the run has several.")
@click.option(
    "--fraction", type=Real(), metavar="F", help="Which share of the training questions, where the run has several."
)
@click.option(
    "--method",
    type=click.Choice(["both", "instruct", "refine"]),
    help="Which way of learning, where the run has several.",
)
@click.option("--seed", type=Whole(), metavar="N", help="Which seed of the run.  [default: its first]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
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
    no_questions: bool,
    as_json: bool,
    workspace: Path,
    plugins: tuple[str, ...],
    **wanted: Any,
) -> None:
    """Write a student of RUN to DIRECTORY as an adapter, or merged into its base model (safetensors).

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder. README.md beside the weights is
    the model card, in the hub's format. Of a run with several students, the options say which. Where it was scored on
    questions of your own (file:, hub:), `tasks` holds them and the lm-eval tasks that repeat the score.
    """
    from sitkit.publish.export import export as write
    from sitkit.stages.evaluate import TASKS
    from sitkit.workspace.runs import find_run

    folder, registry = find_run(run, workspace), registry.with_files(plugins)
    written = write(
        folder, directory, phase=phase, merge=merge, registry=registry, wanted=wanted, questions=not no_questions
    )
    if as_json:
        plain = {"directory": str(written), "run": folder.name, "phase": phase, "merged": merge}
        echo_json(plain)
        return
    if (written / TASKS).is_dir():
        names = ", ".join(sorted(folder.name for folder in (written / TASKS).iterdir()))
        echo_message(f"note: {TASKS}/ holds the test questions of {names}; --no-questions leaves them out")
    echo(directory)
