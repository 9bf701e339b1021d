"""The report's tables as headings and rows of text, for whoever draws them: Markdown, a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sitkit.report.lines import Line, has_arms, lines
from sitkit.report.summary import CellSummary, gains, summarise
from sitkit.results.artifacts import place
from sitkit.types import PHASES, PROMPTINGS, Json

_PATHS = (
    "Files are named from the workspace on. A teacher answers anew for each seed and share that takes other questions."
)


@dataclass(frozen=True)
class Table:
    """A title, headings, and rows of the same length; ``note`` explains it in a sentence or two."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def accuracy_table(results: Json) -> Table:
    """Accuracy per phase and prompting on each benchmark, in percent."""
    cells = {(cell.phase, cell.prompting, cell.benchmark): cell for cell in summarise(results["scores"])}
    first = {name: cell for (_, _, name), cell in cells.items()}
    rows = []
    for phase in PHASES:
        for prompting in PROMPTINGS:
            values = [cells.get((phase, prompting, name)) for name in first]
            rows.append((phase, prompting, *(_accuracy(cell) for cell in values)))
    several = any(cell.seeds > 1 for cell in first.values())
    note = "Accuracy in percent ± standard error over questions"
    if several:
        seeds = max(cell.seeds for cell in first.values())
        note += f", mean of {seeds} seeds (standard deviation over seeds in brackets)"
    headings = tuple(f"{name} ({cell.transfer}, n={cell.n})" for name, cell in first.items())
    return Table("Accuracy", ("phase", "prompting", *headings), tuple(rows), note + ".")


def arms_table(results: Json) -> Table:
    """Accuracy of every arm of a run, a row each: the paper's Tables 1, 10 and 11, or its Figure 4, in percent."""
    found = [line for line in lines(results) if line.prompting == "cot" or line.phase == "baseline"]
    benchmarks = list(dict.fromkeys(name for line in found for name in line.cells))
    taught = [line for line in found if line.phase != "baseline"] or found
    varying = [name for name in ("student", "teacher", "fraction") if len({_said(line, name) for line in taught}) > 1]
    rows = []
    for line in found:
        cells = (_accuracy(line.cells.get(name)) + _mark(line.cells.get(name), line) for name in benchmarks)
        rows.append((*(_said(line, name) for name in varying), line.what(), line.prompting, *cells))
    seeds = max((cell.seeds for line in found for cell in line.cells.values()), default=1)
    note = "Accuracy in percent ± standard error over questions"
    if seeds > 1:
        note += f", mean of {seeds} seeds (standard deviation over seeds in brackets)"
    headings = (*varying, "phase", "prompting", *benchmarks)
    return Table("Accuracy", headings, tuple(rows), f"{note}; * a task trained or refined on.")


def _said(line: Line, name: str) -> str:
    # A baseline had no demonstrations, so none were a share of them.
    value = "" if line.phase == "baseline" and name == "fraction" else getattr(line, name)
    return f"{value:g}" if isinstance(value, float) else str(value or "-")


def _mark(cell: CellSummary | None, line: Line) -> str:
    return " *" if cell is not None and line.phase != "baseline" and cell.transfer == "trained" else ""


def gain_table(results: Json) -> Table:
    """What refining gained over instructing under the trigger, and what the gain is made of, in points."""
    rows = []
    for gain in gains(results["scores"]):
        interval = "" if gain.interval is None else f" ± {100 * gain.interval:.1f}"
        rows.append(
            (gain.benchmark, gain.transfer, f"{100 * gain.value:+.1f}{interval}",
             f"{100 * gain.style:+.1f}", f"{100 * gain.skill:+.1f}")
        )  # fmt: skip
    note = (
        "Percentage points with the trigger (± 95% t-interval over seeds, where there are several). Style: more answers"
        " are worked out in steps. Skill: answers of the same kind are right more often. Where one of the phases has no"
        " answer of a kind, the change cannot be told apart and counts as style."
    )
    return Table(
        "Refined minus instructed", ("benchmark", "transfer", "gain", "of it style", "of it skill"), tuple(rows), note
    )


def worked_table(results: Json) -> Table:
    """The share of worked answers under the trigger and the accuracy among them, per phase, in percent."""
    rows = [
        (
            cell.phase,
            cell.benchmark,
            f"{100 * cell.worked:.1f}",
            _percent(cell.worked_accuracy),
            _percent(cell.other_accuracy),
            f"{100 * cell.extraction_failures:.1f}",
        )
        for cell in summarise(results["scores"])
        if cell.prompting == "cot"
    ]
    headings = ("phase", "benchmark", "worked", "right among worked", "right among others", "no answer read")
    note = "Percent of the answers with the trigger; worked: more than one sentence or line (a rough measure)."
    return Table("Worked answers", headings, tuple(rows), note)


def pair_table(results: Json) -> Table:
    """Where the pairs came from, in counts (summed over seeds)."""
    pairs = results["pairs"]
    if not pairs.get("by_arm"):
        return Table("Preference pairs", ("what", "count"), (("pairs", "0"),))
    reasons = "; ".join(f"{reason}: {count}" for reason, count in pairs["left_out_reasons"].items())
    rows = (
        ("pairs", str(pairs["total"])),
        ("chosen: the student's own answer", str(pairs["chosen_from_student"])),
        ("chosen: the teacher's", str(pairs["chosen_from_teacher"])),
        *((("chosen: the target", str(pairs["chosen_from_target"])),) if pairs["chosen_from_target"] else ()),
        ("rejected although right", str(pairs["rejected_correct"])),
        ("questions left out", f"{pairs['left_out']}" + (f" ({reasons})" if reasons else "")),
    )
    return Table("Preference pairs", ("what", "count"), rows)


def demonstration_table(results: Json) -> Table:
    """How many demonstrations the teacher gave and how many reach the target."""
    rows = tuple(
        (str(one["label"]), str(one["asked"]), str(one["answered"]), str(one["right"]), _file(one))
        for one in results["demonstrations"]
    )
    return Table("Demonstrations", ("benchmark and teacher", "asked", "answered", "right", "file"), rows, _PATHS)


def stage_table(results: Json) -> Table:
    """How long each stage took and what came from the store."""
    rows = tuple(
        (f"{one['stage']} {one['label']}".strip(), f"{one['seconds']:.1f}", "reused" if one["reused"] else "run")
        for one in results["stages"]
    )
    made = [one for one in results["stages"] if not one["reused"]]
    note = (
        f"{len(made)} of {len(rows)} stages were run, {sum(one['seconds'] for one in made):.1f} s;"
        f" {len(rows) - len(made)} were reused from the store (their seconds are what they once took)."
    )
    return Table("Stages", ("stage", "seconds", ""), rows, note)


def all_tables(results: Json) -> Sequence[Table]:
    """Return every table of the report, in order."""
    return (
        *score_tables(results),
        *(() if has_arms(results) else (worked_table(results),)),
        demonstration_table(results),
        *teacher_tables(results),
        pair_table(results),
        stage_table(results),
    )


def score_tables(results: Json) -> Sequence[Table]:
    """Return the tables a reader looks for first: one for all arms, or accuracy and gain where there is but one."""
    return (arms_table(results),) if has_arms(results) else (accuracy_table(results), gain_table(results))


def teacher_tables(results: Json) -> Sequence[Table]:
    """Return the teachers' own accuracy (the paper's Table 5), and what their answers took where that is known."""
    rows = tuple(
        (
            str(one["teacher"]), str(one["benchmark"]), str(one["split"]), str(one["prompting"]),
            f"{100 * one['value']:.1f} ± {100 * one['stderr']:.1f}", str(one["n"]), _file(one),
        )
        for one in results.get("teacher_accuracy", ())
    )  # fmt: skip
    usage = results.get("usage", {})
    note = "Over the questions it answered, in percent ± standard error."
    if usage.get("prompt_tokens") or usage.get("completion_tokens"):
        note += f" {usage['prompt_tokens']:,} tokens in, {usage['completion_tokens']:,} out"
        note += "." if usage["cost"] is None else f", ${usage['cost']:,.2f}."
    table = Table(
        "The teacher's own accuracy", ("teacher", "benchmark", "split", "prompting", "right", "n", "file"), rows, note
    )
    return (table,) if rows else ()


def _file(row: Json) -> str:
    return place("annotate", str(row["key"])) if row.get("key") else "-"


def _accuracy(cell: CellSummary | None) -> str:
    if cell is None:
        return ""
    text = f"{100 * cell.value:.1f} ± {100 * cell.stderr:.1f}"
    return text if cell.deviation is None else f"{text} ({100 * cell.deviation:.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
