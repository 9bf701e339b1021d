"""``sitkit judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sitkit.cli.options import Real, Whole, choosing, debug_option, plugin_option, run_argument, workspace_option
from sitkit.cli.terminal import echo, echo_json, echo_json_text
from sitkit.registry import Registry
from sitkit.types import PHASES, PROMPTINGS

if TYPE_CHECKING:
    from sitkit.judging.run import Prepared
    from sitkit.results.judgements import Judged
    from sitkit.types import Json


@click.command(short_help="Rate a run's answers by a judge.")
@run_argument()
@click.option("--judge", metavar="SPEC", required=True, help="Who rates: openai:MODEL, hf:MODEL, …")
@click.option("--sample", type=Whole(1), default=50, show_default=True, help="Questions of each benchmark.")
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Seed of the sample.")
@click.option(
    "--phase",
    type=click.Choice([*PHASES, "teacher", "target"]),
    multiple=True,
    help="A phase to judge; repeat for several.  [default: baseline, instruct, refine]",
)
@click.option(
    "--prompting",
    type=click.Choice(["cot", "direct", "both"]),
    default="cot",
    show_default=True,
    help="Judge the answers with CoT, the direct ones, or both.",
)
@click.option("--eval-on", metavar="B[,B]", help="Judge answers to these benchmarks.  [default: all that were scored]")
@choosing
@click.option(
    "--own-tasks",
    is_flag=True,
    help="Judge each student on the tasks it was trained and refined on alone, as in the paper's Table 14.",
)
@click.option("--run-seed", type=Whole(), metavar="N", help="Judge this seed of the run.  [default: its first]")
@click.option("--max-new-tokens", type=Whole(1), default=512, show_default=True, help="Longest reply.")
@click.option("--temperature", type=Real(0, 10), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--max-cost", type=Real(0), metavar="USD", help="Stop before more than this is spent.")
@click.option(
    "--max-failures",
    type=Real(0, 1),
    default=0.1,
    show_default=True,
    help="Stop once more than this share of the replies failed.",
)
@click.option("--dry-run", is_flag=True, help="Say how many calls, tokens and dollars it would take, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
@workspace_option
@click.option("--quiet", is_flag=True, help="Print only notes and the path of the judgements.")
@debug_option
@click.pass_obj
def judge(
    registry: Registry,
    /,
    run: str,
    workspace: Path,
    phase: tuple[Judged, ...],
    prompting: str,
    eval_on: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    plugins: tuple[str, ...],
    **given: Any,
) -> None:
    """Rate the answers of RUN from 1 to 3, as in the paper's Appendix H.

    RUN is a name, the beginning of one, a number of `sitkit runs`, `last`, or a folder.

    A judge, which is a teacher that completes any prompt, reads the question and a student's answer in the prompt of
    Table 12. The same questions are judged in every phase, so that phases are compared question by question. Every
    reply is kept as it comes: the same command again asks only for what is missing. The teacher's answers to test
    questions can be judged where the run had --eval-teacher, and the targets as if they were answers. Of a run with
    several students, such as a matrix, the options take some; --dry-run says what they would take. The run's report.md
    and report.html are written anew.
    """
    from sitkit.judging.run import Request, prepare
    from sitkit.results.arms import PICKERS
    from sitkit.results.judgements import JUDGED
    from sitkit.workspace.runs import find_run

    wanted = {name: given.pop(name) for name in PICKERS if name in given and name != "seed"}
    request = Request(
        run=find_run(run, workspace.absolute()),
        phases=tuple(one for one in JUDGED if one in phase) or PHASES,
        promptings=tuple(one for one in PROMPTINGS if prompting in (one, "both")),
        benchmarks=None if eval_on is None else tuple(name.strip() for name in eval_on.split(",") if name.strip()),
        wanted=wanted,
        **given,
    )
    prepared = prepare(request, registry.with_files(plugins))
    try:
        if dry_run:
            _show_estimate(prepared.estimate(), as_json=as_json)
        else:
            _judge(prepared, as_json=as_json, quiet=quiet)
    finally:
        prepared.close()


def _judge(prepared: Prepared, *, as_json: bool, quiet: bool) -> None:
    from sitkit.cli.progress import listening
    from sitkit.cli.show import console, show_table
    from sitkit.execution.interrupts import interruptible
    from sitkit.judging.run import carry_out
    from sitkit.report.judgements import judgement_tables
    from sitkit.results.judgements import encoded

    with listening(quiet=quiet or as_json) as shown, interruptible(shown) as listener:
        judgement, path = carry_out(prepared, listener)
    if as_json:
        echo_json_text(encoded(judgement))
    elif quiet:
        echo(path)
    else:
        out = console()
        for table in judgement_tables(judgement):
            show_table(out, table)
        out.print(f"judgements: {path}", soft_wrap=True)


def _show_estimate(estimate: Json, *, as_json: bool) -> None:
    if as_json:
        echo_json(estimate)
        return
    from sitkit.cli.show import price_text

    price = price_text(estimate["cost"], estimate["pricing"])
    tokens = f"about {estimate['prompt_tokens']:,} tokens in and at most {estimate['completion_tokens']:,} out, {price}"
    echo(
        f"{estimate['answers']} answers to {estimate['questions']} questions: {estimate['calls']} calls"
        f" ({estimate['replied']} of {estimate['prompts']} different prompts have a reply already)"
        + (f", {tokens}" if estimate["remote"] else "")
    )
