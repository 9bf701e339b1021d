"""``sitkit run``, and the two shapes of it that have names of their own: ``matrix`` and ``lowresource``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sitkit.cli.options import (
    ComponentName,
    Decorator,
    PluginDefault,
    Real,
    Whole,
    debug_option,
    names_of,
    plugin_option,
    together,
    workspace_option,
)
from sitkit.cli.terminal import echo, echo_json, echo_json_text
from sitkit.errors import SettingError, UsageError
from sitkit.registry import Registry
from sitkit.types import Json

if TYPE_CHECKING:
    from sitkit.execution.gpus import Gpu
    from sitkit.recipe import Recipe

BENCHMARKS = "B[,B]"
FRACTIONS = (0.25, 0.5, 0.75, 1.0)


def _benchmarks(flag: str, help_text: str, *, metavar: str = BENCHMARKS, default: bool = False) -> Decorator:
    kind = PluginDefault if default else click.Option
    return click.option(flag, metavar=metavar, cls=kind, shell_complete=names_of("benchmark"), help=help_text)


_fraction = click.option(
    "--fraction", type=Real(), multiple=True, metavar="F", help="Nested random share of the training questions, 0-1."
)

_strategy = click.option(
    "--strategy",
    metavar="NAME",
    cls=PluginDefault,
    shell_complete=names_of("strategy"),
    help="How preference pairs are chosen.",
)

recipe_options = together(
    click.option(
        "--teacher",
        metavar="SPEC",
        multiple=True,
        shell_complete=names_of("teacher"),
        help="Who answers the training questions; repeat for several.  [default: the one the benchmarks name]",
    ),
    click.option(
        "--student",
        metavar="SPEC",
        multiple=True,
        cls=PluginDefault,
        shell_complete=names_of("student"),
        help="The model that learns; repeat for several.",
    ),
    click.option(
        "--fraction-of",
        metavar="WHAT",
        help="What --fraction is a share of: questions, or demonstrations.  [default: questions]",
    ),
    click.option(
        "--practice-on",
        metavar="B[:N][,B[:N]]",
        shell_complete=names_of("benchmark"),
        help="Questions (N of each) to sample and pair too, which no teacher is asked for.",
    ),
    click.option("--limit", type=Whole(), metavar="N", help="Take the first N training questions."),
    click.option("--test-limit", type=Whole(), metavar="N", help="Take the first N test questions."),
    click.option("--seed", type=Whole(0), metavar="N", help="Seed of training and sampling.  [default: 0]"),
    click.option(
        "--seeds", type=Whole(1, 10_000), metavar="N", help="Run N seeds, from --seed on, and report the mean."
    ),
    click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE", help="A setting; repeat for several."),
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The same keys as YAML; flags win."),
    click.option("--preset", metavar="NAME", help="A recipe that a plugin ships (sitkit presets); flags win."),
    click.option("--data-dir", metavar="DIR", help="Read benchmarks from this folder instead of the hub."),
    click.option(
        "--drop-duplicates",
        is_flag=True,
        default=None,
        help="Leave out training questions that are test questions too.",
    ),
    click.option(
        "--drop-contaminated",
        is_flag=True,
        default=None,
        help="Leave out training questions that share words in a row with any that is scored.",
    ),
    click.option("--ngram", type=Whole(3, 100), metavar="N", help="How many words in a row.  [default: 13]"),
    click.option(
        "--eval-teacher/--no-eval-teacher",
        default=None,
        help="Score the teacher too, with CoT and direct, on training and test questions."
        "  [default: on the training questions alone, and only where that costs nothing]",
    ),
    plugin_option,
    click.option("--max-cost", type=Real(), metavar="USD", help="Stop before teachers cost more than this."),
)

running_options = together(
    workspace_option,
    click.option("--name", metavar="NAME", help="Name of the run's folder.  [default: made from the recipe]"),
    click.option("--replace", is_flag=True, help="Take the --name of a finished run that has another recipe."),
    click.option("--report-to", metavar="TRACKER[,TRACKER]", help="Trackers that get training curves and scores."),
    click.option(
        "--executor", type=ComponentName("executor"), default="here", show_default=True, help="Where stages run."
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan, and what it would take, and stop."),
    click.option(
        "--gpu", metavar="[Nx]CARD", help="With --dry-run: hours and memory on a card, such as h100, rtx4090, 2xl40s."
    ),
    click.option("--quiet", is_flag=True, help="Print only notes and the path of the report."),
    click.option("--verbose", is_flag=True, help="Show where pairs came from, and every stage, at the end."),
    click.option("--json", "as_json", is_flag=True, help="Print the results, or with --dry-run the plan, as JSON."),
    debug_option,
)


@click.command(short_help="Teach, refine and score a student.")
@_benchmarks("--train-on", "Benchmarks of the demonstrations.", default=True)
@_benchmarks("--refine-on", "Benchmarks refined on.  [default: those trained on]")
@_benchmarks(
    "--eval-on",
    "Benchmarks scored, and any lm-eval:TASK beside them.  [default: those trained and refined on, and what these are"
    " scored with]",
    metavar=f"{BENCHMARKS}|all",
)
@_fraction
@_strategy
@recipe_options
@running_options
@click.pass_obj
def run(registry: Registry, /, **flags: Any) -> None:
    """Teach, refine and score a student.

    The teacher answers training questions step by step, the student is instruction-tuned on that, answers the
    questions itself, and is refined on pairs of its answers; every phase is scored by lm-eval. With no option an
    embedded world is used: no download, a CPU, a minute or two. Every stage is stored: the same command again goes
    on where it was stopped, and a changed one reuses what it shares.

    A SPEC is name[:argument][,key=value]..., for example hf:meta-llama/Llama-2-7b-chat-hf,quantize=nf4.
    `sitkit plugins` lists the names, `sitkit settings` what --set may say.
    """
    run_recipe(registry, flags)


@click.command(short_help="Every train-on x refine-on x eval-on cell of the paper's Table 1.")
@_benchmarks(
    "--tasks",
    "Trained on one by one, refined on and scored.  [default: those scored together with the defaults of run]",
)
@_benchmarks("--refine-on", "Benchmarks refined on.  [default: --tasks]")
@_benchmarks(
    "--eval-on", "Benchmarks scored, and any lm-eval:TASK beside them.  [default: --tasks]", metavar=f"{BENCHMARKS}|all"
)
@click.option(
    "--cross-eval",
    metavar="WHAT",
    help="What is scored of a student refined on another task: all, or refined_on, as in Table 1.  [default: all]",
)
@_fraction
@_strategy
@recipe_options
@running_options
@click.pass_obj
def matrix(registry: Registry, /, tasks: str | None, **flags: Any) -> None:
    """Instruct a student on each task, refine each on every task, and score all of them (Tables 1, 10 and 11).

    Refined on the task it was instructed on, it is the paper's self-refinement; on another one, its cross
    self-refinement. The whole matrix is one plan: an instructed student serves every task it is refined on, and
    what other runs in the workspace have made is reused. The same recipe in YAML: `cross: true`.
    """
    from sitkit.plan import default_tasks

    if tasks is None and flags["config"] is None and flags["preset"] is None:
        tasks = ",".join(default_tasks(registry))
    run_recipe(registry, {**flags, "train_on": tasks, "cross": True})


@click.command(short_help="Smaller and smaller shares of the demonstrations (the paper's Figure 4).")
@_benchmarks("--train-on", "Benchmarks of the demonstrations.", default=True)
@_benchmarks("--refine-on", "Benchmarks refined on.  [default: those trained on]")
@_benchmarks("--eval-on", "Benchmarks scored, and any lm-eval:TASK beside them.", metavar=f"{BENCHMARKS}|all")
@click.option(
    "--fraction",
    type=Real(),
    multiple=True,
    metavar="F",
    help="A share; repeat for several.  [default: 0.25 0.5 0.75 1]",
)
@_strategy
@recipe_options
@running_options
@click.pass_obj
def lowresource(registry: Registry, /, fraction: tuple[float, ...], **flags: Any) -> None:
    """Teach with nested shares of the demonstrations: instructed only, refined only, and both (Figure 4).

    A smaller share's questions are among a larger one's, drawn by seed. Shares are of the training questions, so that
    a teacher is asked for no more than is used; with --fraction-of demonstrations they are of those that were kept, as
    in the paper. "Refined only" starts from the untaught student. The same recipe in YAML: `fraction: [0.25, 0.5, 0.75,
    1.0]` and `methods: [both, refine]`.
    """
    run_recipe(registry, {**flags, "fraction": fraction or FRACTIONS, "methods": ("both", "refine")})


@click.command(short_help="Hold strategies against a control, on what they share.")
@click.option(
    "--strategies",
    metavar="SPEC,SPEC[,...]",
    shell_complete=names_of("strategy"),
    help="The strategies; what they agree on is made once.",
)
@click.option(
    "--control", metavar="SPEC", help="The one the others are held against.  [default: the first plain fine-tuning]"
)
@_benchmarks("--train-on", "Benchmarks of the demonstrations.", default=True)
@_benchmarks("--refine-on", "Benchmarks refined on.  [default: those trained on]")
@_benchmarks("--eval-on", "Benchmarks scored.", metavar=f"{BENCHMARKS}|all")
@_fraction
@recipe_options
@running_options
@click.pass_obj
def contest(registry: Registry, /, **flags: Any) -> None:
    """Refine one instructed student by several strategies, and hold each against a control.

    Every strategy gets the same demonstrations, instructed student and questions, and the same samples where it wants
    as many at the same temperature. One table has the paired differences with CoT from the control, with intervals and
    Holm's correction, another what each strategy took, and one sentence says which is ahead and whether that can be
    told from the control. The same recipe in YAML: `strategies: [dpo-cot, sft-chosen]`, `control: sft-chosen`.
    """
    if flags["strategies"] is None and flags["config"] is None and flags["preset"] is None:
        raise UsageError("give the strategies to compare: --strategies dpo-cot,sft-chosen")
    run_recipe(registry, flags)


def run_recipe(registry: Registry, flags: Mapping[str, Any]) -> None:
    """Run what the flags of a command say, or show its plan. Raises `SitkitError`."""
    from sitkit.execution.gpus import find_gpu
    from sitkit.plan import build_plan

    given = dict(flags)
    workspace, name = given.pop("workspace"), given.pop("name")
    dry_run, gpu, quiet, verbose, as_json, executor, replace = (
        given.pop(key) for key in ("dry_run", "gpu", "quiet", "verbose", "as_json", "executor", "replace")
    )
    if gpu is not None and not dry_run:
        raise UsageError("--gpu says what a run would take, with --dry-run; a run takes the GPU that is there")
    card = None if gpu is None else find_gpu(gpu)
    recipe = _recipe(given, registry)
    registry = registry.with_files(recipe.plugins)
    plan = build_plan(recipe, registry)
    if dry_run:
        _show_dry_run(plan, workspace, registry, card, as_json=as_json)
        return
    from sitkit.api import run_plan
    from sitkit.cli.progress import listening

    try:
        with listening(quiet=quiet or as_json) as listener:
            found = run_plan(plan, workspace, name, executor, listener, registry, replace=replace)
    finally:
        plan.close()
    if as_json:
        echo_json_text((found.folder / "results.json").read_text(encoding="utf-8"))
    elif quiet:
        echo(found.folder / "report.html")
    else:
        from sitkit.cli.show import show_results, show_stored

        if not verbose and all(stage.reused for stage in found.data.stages):
            show_stored(found.data, found.folder)
        else:
            show_results(found.data, found.folder, verbose=verbose)


def _recipe(given: dict[str, Any], registry: Registry) -> Recipe:
    from sitkit.recipe import make_recipe

    settings, report_to, config = given.pop("settings"), given.pop("report_to"), given.pop("config")
    if report_to is not None:
        settings = (f"train.report_to={report_to}", *settings)
    # Options that may be given again are empty where they were not given.
    given = {key: None if value == () else value for key, value in given.items()}
    return make_recipe(
        {**given, "set": parse_settings(settings)}, below=config, where="command line", presets=registry.presets()
    )


def parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Read ``stage.key=value`` texts; a later one wins. Raises `SettingError` for one that is malformed."""
    found: dict[str, dict[str, Json]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        stage, dot, key = name.strip().partition(".")
        if not (equals and dot and stage and key):
            raise SettingError(f"--set {text!r}: expected stage.key=value, such as refine.beta=0.2")
        found.setdefault(stage, {})[key] = value.strip()
    return found


def _show_dry_run(plan: Any, workspace: Path, registry: Registry, card: Gpu | None, *, as_json: bool) -> None:
    from sitkit.execution.dry_run import dry_run
    from sitkit.store import Store

    found = dry_run(plan, Store(workspace), registry, card)
    if as_json:
        from dataclasses import asdict

        echo_json(asdict(found))
        return
    from sitkit.cli.show import show_dry_run
    from sitkit.own_questions import understood

    for text in understood(plan.question_sets):
        echo(text)
    show_dry_run(found)
