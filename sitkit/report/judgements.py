"""What judges said of a run: where it lies, how it is read, and its tables, beside the paper's Tables 13 and 14."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sitkit.errors import ArtifactError
from sitkit.report.results import load_results
from sitkit.report.tables import Table
from sitkit.types import PHASES, Json
from sitkit_paper.figures import Role, paper
from sitkit_paper.names import match_student, match_teacher

JUDGEMENTS = "judgements"
"""The folder of a run that holds a NAME.json a judge, and its items beside it as NAME.jsonl."""

_LISTS = ("ratings", "differences", "failures")
_ROLES: Mapping[tuple[str, str], Role] = {
    ("baseline", "direct"): "baseline",
    ("baseline", "cot"): "baseline_cot",
    ("instruct", "cot"): "instruct",
    ("refine", "cot"): "refine",
}
"""The rows of Table 14: phase and prompting -> what the paper calls it."""

Row = Mapping[str, Json]


def load_judgements(run: Path) -> list[dict[str, Json]]:
    """Return what each judge said of a run, by file name; none is no error.

    Judgements of answers that the run's results no longer name, because another recipe was run under its name, are
    left out. Raises `ArtifactError` for a file that cannot be read as judgements, `RunNotFoundError` without results.
    """
    if not (run / JUDGEMENTS).is_dir():
        return []
    results = load_results(run)
    rows = (*results["scores"], *results.get("teacher_accuracy", ()))
    named, found = {row.get("key") for row in rows}, list[dict[str, Json]]()
    for path in sorted((run / JUDGEMENTS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not all(isinstance(row, dict) for name in _LISTS for row in content[name]):
                raise TypeError("its rows are no objects")
            current = str(content["judge"]) and named.issuperset(content["stages"])
            _ = dict(content["usage"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} cannot be read as judgements: {error}; remove it or judge again") from error
        if current:
            found.append(dict(content))
    return found


def judgement_tables(judgement: Json) -> Sequence[Table]:
    """Return both tables of one judge."""
    return judgement_table(judgement), difference_table(judgement)


def judgement_table(judgement: Json) -> Table:
    """Mean rating per phase and benchmark and for all, with its standard error.

    The paper's Tables 13 and 14 stand beside it where one of the paper's tasks was judged.
    """
    rows: dict[tuple[str, ...], dict[str | None, Row]] = {}
    whose = _Whose(judgement["ratings"])
    for row in judgement["ratings"]:
        rows.setdefault((*whose.cells(row), row["phase"], row["prompting"]), {})[row["benchmark"]] = row
    benchmarks = _benchmarks(judgement["ratings"])
    comparable = not paper().tasks.keys().isdisjoint(benchmarks)
    drawn = []
    for place, by_benchmark in rows.items():
        whole = by_benchmark[None]
        means = (_mean(by_benchmark.get(name)) for name in (*benchmarks, None))
        counts = (str(whole["n"]), str(whole["unread"]), str(whole["failed"]))
        drawn.append((*place, *means, *counts, *((_printed(whole),) if comparable else ())))
    headings = (*whose.names, "phase", "prompting", *benchmarks, "all", "n", "unread", "failed")
    note = (
        f"Mean of 1 to 3 ± standard error over questions, by {judgement['judge']} with the prompt of the paper's Table"
        " 12; the same questions in every row. unread: replies without a rating; failed: no reply."
    )
    if comparable:
        headings = (*headings, "paper")
        note += (
            f" paper: Tables 13 and 14 of arXiv 2405.00402, rated by {paper().judged.judge}:"
            f" {_compared(judgement['ratings'])}; in: taught by its own family, out: by"
            f" {paper().judged.out_family_teacher}."
        )
    return Table(f"Ratings by {judgement['judge']}", headings, tuple(drawn), note)


def difference_table(judgement: Json) -> Table:
    """Mean difference between phases per benchmark and for all, question by question, with its 95% interval."""
    whose = _Whose(judgement["differences"])
    rows: dict[tuple[str, ...], dict[str | None, Row]] = {}
    for row in judgement["differences"]:
        phases = f"{row['from']} to {row['to']}"
        rows.setdefault((*whose.cells(row), str(row["prompting"]), phases), {})[row["benchmark"]] = row
    benchmarks = _benchmarks(judgement["differences"])
    drawn = tuple(
        (
            *place,
            *(_difference(by_benchmark.get(name)) for name in (*benchmarks, None)),
            str(by_benchmark[None]["n"]),
        )
        for place, by_benchmark in rows.items()
    )
    headings = (*whose.names, "prompting", "phases", *benchmarks, "all", "n")
    note = (
        "Mean of the later rating minus the earlier one of the same question ± 95% t-interval over questions (students"
        " are taken as they are: one seed of training). Where every rating changed alike the interval has no width,"
        " which does not make it certain."
    )
    return Table(f"Change of the ratings by {judgement['judge']}", headings, drawn, note)


def _benchmarks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["benchmark"] for row in rows if row["benchmark"] is not None))


def _difference(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['difference']:+.2f}" + ("" if row["high"] is None else f" ± {row['high'] - row['difference']:.2f}")


class _Whose:
    """The columns that tell the students of the rows apart; none where there is but one."""

    _NAMES = ("student", "teacher", "train_on", "refine_on", "fraction", "method")

    def __init__(self, rows: Sequence[Row]) -> None:
        several = {name: len({str(row.get(name)) for row in rows if row.get(name)}) > 1 for name in self._NAMES}
        self.names = tuple(name for name, differs in several.items() if differs)

    def cells(self, row: Row) -> tuple[str, ...]:
        return tuple(_said(row.get(name)) for name in self.names)


def _said(value: Json) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value or "")


def _mean(row: Row | None) -> str:
    if row is None or row["mean"] is None:
        return "-"
    return f"{row['mean']:.2f}" + ("" if row["stderr"] is None else f" ± {row['stderr']:.2f}")


def _printed(row: Row) -> str:
    phase, prompting, judged = str(row["phase"]), str(row["prompting"]), paper().judged
    if phase in ("teacher", "target"):
        what = "target" if phase == "target" else prompting
        return f"{judged.teachers[match_teacher(str(row['teacher'])).name, what]:.2f}"
    role = _ROLES.get((phase, prompting))
    if role is None:
        return ""
    name = match_student(str(row["student"])).name
    if (name, role, "") in judged.students:
        return f"{judged.students[name, role, '']:.2f}"
    return f"{judged.students[name, role, 'in-family']:.2f} in, {judged.students[name, role, 'out-family']:.2f} out"


def _compared(rows: Sequence[Row]) -> str:
    students = dict.fromkeys(str(row["student"]) for row in rows if row["phase"] in PHASES)
    teachers = dict.fromkeys(str(row["teacher"]) for row in rows if row["phase"] == "teacher")
    matches = [(one, match_student(one)) for one in students] + [(one, match_teacher(one)) for one in teachers]
    return "; ".join(f"{match.name} for {one}" + (f" ({match.why})" if match.why else "") for one, match in matches)
