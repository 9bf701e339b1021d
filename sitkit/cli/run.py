"""``sitkit run``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from sitkit.cli.flags import make_recipe
from sitkit.cli.options import debug_option, workspace_option
from sitkit.registry import Registry

_BENCHMARKS = "B[,B]"


@click.command(short_help="Teach, refine and score a student.")
@click.option(
    "--teacher",
    metavar="SPEC",
    help="Who answers the training questions.  [default: tiny; gold off the embedded world]",
)
@click.option("--student", metavar="SPEC", help="The model that learns: tiny, hf:MODEL, …  [default: tiny]")
@click.option("--strategy", metavar="NAME", help="How preference pairs are chosen.  [default: dpo-cot]")
@click.option("--train-on", metavar=_BENCHMARKS, help="Benchmarks of the demonstrations.")
@click.option("--refine-on", metavar=_BENCHMARKS, help="Benchmarks refined on.  [default: those trained on]")
@click.option(
    "--eval-on",
    metavar=_BENCHMARKS + "|all",
    help="Benchmarks scored.  [default: those trained and refined on; all four embedded ones for these]",
)
@click.option("--fraction", type=float, metavar="F", help="Nested random share of the training questions, 0 < F <= 1.")
@click.option("--limit", type=int, metavar="N", help="Take the first N training questions.")
@click.option("--test-limit", type=int, metavar="N", help="Take the first N test questions.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of training and sampling.  [default: 0]")
@click.option(
    "--seeds", type=click.IntRange(1, 10_000), metavar="N", help="Run N seeds, from --seed on, and report the mean."
)
@click.option("--set", "settings", multiple=True, metavar="STAGE.KEY=VALUE", help="A setting; may be given again.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The same keys as YAML; flags win.")
@click.option("--data-dir", metavar="DIR", help="Read benchmarks from this folder instead of the hub.")
@click.option(
    "--drop-duplicates", is_flag=True, default=None, help="Leave out training questions that stand in the test too."
)
@workspace_option
@click.option("--name", metavar="NAME", help="Name of the run's folder.  [default: made from the recipe]")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--quiet", is_flag=True, help="Print only notes and the path of the report.")
@debug_option
@click.pass_obj
def run(
    registry: Registry,
    /,
    settings: tuple[str, ...],
    seed: int | None,
    seeds: int | None,
    config: Path | None,
    workspace: Path,
    name: str | None,
    dry_run: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Teach, refine and score a student.

    The teacher answers training questions step by step, the student is instruction-tuned on that, answers the
    questions itself, and is refined on pairs of its answers; every phase is scored by lm-eval. With no option an
    embedded world is used: no download, a CPU, a minute or two. Every stage is stored: the same command again goes
    on where it was stopped, and a changed one reuses what it shares.

    A SPEC is name[:argument][,key=value]..., for example hf:meta-llama/Llama-2-7b-chat-hf,quantize=nf4.
    `sitkit plugins` lists the names, `sitkit settings` what --set may say.
    """
    from sitkit.plan import build_plan
    from sitkit.recipe import check_name, default_name
    from sitkit.store import Store, make_key

    recipe = make_recipe(flags, settings, seed, seeds, config)
    plan = build_plan(recipe, registry)
    full = replace(plan.recipe, refine_on=plan.recipe.refined_on, eval_on=plan.scored, settings=asdict(plan.settings))
    workspace = workspace.absolute()
    store = Store(workspace)
    title = check_name(name) if name else default_name(recipe, make_key([one.key for one in plan.nodes]))
    if dry_run:
        from sitkit.cli.show import show_plan
        from sitkit.pipeline import prompt_counts, stored

        done = stored(plan, store)
        show_plan(plan, done, prompt_counts(plan, done))
        return
    from sitkit.cli.interrupts import interruptible
    from sitkit.cli.progress import listening
    from sitkit.cli.show import show_results
    from sitkit.pipeline import run_plan
    from sitkit.report.write import write_run

    try:
        with listening(quiet=quiet) as shown, interruptible(shown) as listener:
            outcome = run_plan(plan, store, registry, listener)
    finally:
        plan.close()
    folder = workspace / "runs" / title
    results = write_run(folder, plan, full, outcome)
    if quiet:
        click.echo(folder / "report.md")
    else:
        show_results(results, folder)
