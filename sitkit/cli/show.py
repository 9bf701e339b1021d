"""Plans and results on a terminal, or as plain text where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from statistics import fmean

from rich import box
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from sitkit.cli.rich_console import CleanConsole
from sitkit.execution.dry_run import DryRun
from sitkit.execution.gpus import ANSWER_TOKENS, Gpu, OnGpu
from sitkit.plain_text import visible
from sitkit.report.tables import (
    Table,
    contest_tables,
    forgetting_tables,
    pair_tables,
    score_tables,
    stage_table,
)
from sitkit.report.warnings import warnings_of
from sitkit.results.arms import describe
from sitkit.results.model import Results
from sitkit.types import PHASES, Estimate

_PLAIN_WIDTH = 10_000
_MOST_ARMS, _MOST_WARNINGS, _MOST_NAMES = 3, 3, 3
_PADDING, _MOST_WORDS, _SENTENCE = 3, 4, 24
_NUMERIC = re.compile(r"[-+]?[0-9]|-?$")


def console() -> CleanConsole:
    """Return a console for standard output: as wide as the terminal; without one as wide as any row, since what is
    read by a program must not be cut.
    """
    found = CleanConsole()
    return found if found.is_terminal else CleanConsole(width=_PLAIN_WIDTH)


def show_results(results: Results, folder: Path, *, verbose: bool = False) -> None:
    """Print what a run found: scores, warnings, where the report lies; ``verbose`` adds pairs and stages."""
    out = console()
    more = (*pair_tables(results), stage_table(results)) if verbose else ()
    for table in (*contest_tables(results), *score_tables(results), *forgetting_tables(results), *more):
        show_table(out, table)
    for text in warnings_of(results):
        show_text(out, f"! {text}", "yellow")
    if not verbose:
        show_text(out, stage_table(results).note, "dim")
    out.print(Text(f"report: {folder / 'report.html'}"), soft_wrap=True)


def show_stored(results: Results, folder: Path) -> None:
    """Print, in about ten lines, what a run found of which every stage was there already."""
    out = console()
    for arm in results.arms[:_MOST_ARMS]:
        cells = results.cells_of(arm)
        names = f"{describe(arm, results.arms)}: " if len(results.arms) > 1 else ""
        for prompting, told in (("cot", "with CoT"), ("direct", "direct")):
            means = [
                f"{phase} {100 * fmean(values):.1f}"
                for phase in PHASES
                if (values := [one.value for one in cells if (one.phase, one.prompting) == (phase, prompting)])
            ]
            show_text(out, f"{names}accuracy {told}, percent: {', '.join(means)}")
    benchmarks, arms = len(results.benchmarks), len(results.arms) - _MOST_ARMS
    show_text(out, f"Means over {count_text(benchmarks, 'benchmark')}.")
    if arms > 0:
        show_text(out, f"{count_text(arms, 'more student')} in the report.")
    warnings = warnings_of(results)
    for text in warnings[:_MOST_WARNINGS]:
        show_text(out, f"! {text}", "yellow")
    if len(warnings) > _MOST_WARNINGS:
        show_text(out, f"! {len(warnings) - _MOST_WARNINGS} more in the report", "yellow")
    show_text(out, f"All {count_text(len(results.stages), 'stage')} were stored; --verbose shows the tables.", "dim")
    out.print(Text(f"report: {folder / 'report.html'}"), soft_wrap=True)


def show_text(out: CleanConsole, text: str, style: str = "") -> None:
    """Print a text: wrapped at words at a terminal, on one line elsewhere."""
    out.print(Text(text, style=style), soft_wrap=not out.is_terminal)


def show_table(out: CleanConsole, table: Table) -> None:
    """Print one table with its title and note; row by row where the terminal is too narrow for its words."""
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, heading in enumerate(table.headings):
        drawn.add_column(Text(heading), justify="right" if _is_numeric(table, index) else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    columns = zip(table.headings, *table.rows, strict=True)
    if sum(_least(column) + _PADDING for column in columns) <= out.width:
        out.print(drawn)
    else:
        _show_rows(out, table)
    if table.note:
        show_text(out, table.note, "dim")
        out.print()


def _is_numeric(table: Table, index: int) -> bool:
    return all(_NUMERIC.match(row[index]) for row in table.rows)


def _least(column: Sequence[str]) -> int:
    """Return how narrow a column can be without breaking words; those of a sentence may be broken."""
    if any(len(cell.split()) > _MOST_WORDS for cell in column):
        return _SENTENCE
    return max((len(word) for cell in column for word in cell.split()), default=0)


def _show_rows(out: CleanConsole, table: Table) -> None:
    out.print(Text(table.title, style="bold"))
    # A row is named by its first texts, up to a column of numbers: those tell little without their heading.
    first = next((at for at, heading in enumerate(table.headings, 1) if heading), 1)
    texts = takewhile(lambda at: not _is_numeric(table, at), range(first, min(_MOST_NAMES, len(table.headings))))
    named = first + len(list(texts))
    for row in table.rows:
        cells = list(zip(table.headings, (visible(cell) for cell in row), strict=True))
        out.print(Text(f"  {' '.join(cell for _, cell in cells[:named])}"), soft_wrap=True)
        told = "; ".join(f"{heading} {cell}".strip() for heading, cell in cells[named:] if cell)
        out.print(Padding(Text(told, style="dim"), (0, 0, 0, 4)))
    out.print()


def size_text(count: int) -> str:
    """Return bytes in a unit that fits: ``812 B``, ``3.1 MB`` (a MB is a million bytes)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(seconds: float) -> str:
    """Return a moment (seconds since the epoch) in local time, to the minute."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def count_text(count: int, noun: str) -> str:
    """Return a number of things: ``1 run``, ``1,200 runs``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def show_dry_run(found: DryRun) -> None:
    """Print each stage of a plan, whether it is stored, how many prompts it will answer, and what teachers cost."""
    rows = tuple(
        (stage.title, "stored" if stage.stored else "to run", str(stage.prompts or ""), stage.key[:12])
        for stage in found.stages
    )
    told = "nothing stored yet" if not found.stored else f"{found.stored} of {len(found.stages)} stages are stored"
    note = f"{told}: {found.to_run} stages to run, {found.prompts:,} prompts to answer."
    if found.alone_stages > len(found.stages):
        note += (
            f" A script that makes each of the {found.scores} scores alone runs {found.alone_stages:,} stages and"
            f" answers {found.alone_prompts:,} prompts."
        )
    note += "".join(f" {text}" for text in _passes(found))
    out = console()
    show_table(out, Table("Plan", ("stage", "", "prompts", "key"), rows, note))
    if found.estimate is not None:
        show_text(out, _taking(found.estimate))
    if found.gpu is not None:
        show_table(out, _gpu_table(found, found.gpu))
        for text in (*found.misfits, *_uncounted(found, found.gpu)):
            show_text(out, f"! {text}", style="yellow")


def _gpu_table(found: DryRun, gpu: Gpu) -> Table:
    """What each kind of stage takes on the card, for each model."""
    kinds: dict[tuple[str, str], list[OnGpu]] = {}
    for stage in found.stages:
        if stage.on_gpu is not None:
            kinds.setdefault((stage.stage, stage.on_gpu.model), []).append(stage.on_gpu)
    rows = [
        (
            kind,
            model,
            str(len(stages)),
            *(
                _hours(sum(times)) if all(one.fits for one in stages) else "-"
                for times in ([one.seconds for one in stages], [one.most_seconds for one in stages])
            ),
            f"{max(one.memory for one in stages) / 1e9:.1f}",
        )
        for (kind, model), stages in kinds.items()
    ]
    every = [one for stages in kinds.values() for one in stages]
    likely, most = (
        _hours(sum(times)) for times in ([one.seconds for one in every], [one.most_seconds for one in every])
    )
    note = (
        f"{likely} hours on {gpu.title} with answers of {ANSWER_TOKENS} tokens, {most} if all run into their limits."
        " Counted from shapes and data sheets (docs/cost.md), not measured; loading and lm-eval tasks are left out."
    )
    return Table(f"On {gpu.title}", ("stage", "model", "stages", "hours", "at most", "GB"), tuple(rows), note)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _uncounted(found: DryRun, gpu: Gpu) -> Iterator[str]:
    if found.unknown:
        yield f"not counted, because its size is not known here: {', '.join(found.unknown)}"
    if not gpu.bfloat16:
        yield f"{gpu.name} has no bfloat16: the hours are those of dtype=float16"


def _passes(found: DryRun) -> Iterator[str]:
    """Yield how often refining goes over its pairs: ``max_steps`` does not show that it may be hundreds of times."""
    refined = [stage for stage in found.stages if stage.passes]
    for known, of in ((True, ""), (False, " if each question gives one")):
        stages = [stage for stage in refined if stage.pairs_known is known]
        if stages:
            few, most = (_range(values) for values in ([s.pairs for s in stages], [s.passes for s in stages]))
            yield f"Refining makes {'' if known else 'about '}{most} passes over {few} pairs{of}."


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _taking(estimate: Estimate) -> str:
    return (
        f"teachers: {estimate.calls} calls, about {estimate.prompt_tokens:,} tokens in and at most"
        f" {estimate.completion_tokens:,} out, {price_text(estimate.cost, estimate.pricing)}"
    )


def price_text(cost: float | None, pricing: str) -> str:
    """Return an estimate's money in words, and where its price is from; see `sitkit.types.Estimate`."""
    if cost is None:
        return f"no price is known{f' for {pricing}' if pricing else ''}: price_in= and price_out= give one"
    return f"at most ${cost:,.2f}{f' ({pricing})' if pricing else ''}"
