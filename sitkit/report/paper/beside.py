"""A run's numbers next to those the paper prints: Tables 1, 10 and 11, 5, 13 and 14."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sitkit.paper.figures import TRAINED, UNTRAINED, Paper, PaperStudent, Role, Task, paper
from sitkit.paper.names import Match, family, match_student, match_teacher
from sitkit.report.cells import Measured
from sitkit.report.paper.evidence import Evidence, Grid
from sitkit.report.paper.own import RATED, own_evidence
from sitkit.report.tables import Table
from sitkit.types import PROMPTINGS, Json

_NAMES: dict[Role, str] = {
    "baseline": "Baseline",
    "baseline_cot": "Baseline CoT",
    "instruct": "Instruction-tuning",
    "refine": "+ Self-refine",
    "cross": "Cross Self-refine",
}
_UNDEFINED = "The paper does not say what its ± is, so it is left out."
_SPLITS = ("train", "test")


def paper_tables(results: Json, judgements: Json | None = None) -> Sequence[Table]:
    """Return the tables that lay a run beside the paper; none for a run without the paper's tasks.

    A cell holds the run's value ± its standard error, and in brackets the paper's and the difference. ``judgements``
    is the content of judgements.json where the run was judged.
    """
    source, own = paper(), own_evidence(results, judgements)
    return [
        *(table for grid in own.grids for table in _students(grid, source)),
        *_teachers(own, source),
        *_judged_teachers(judgements, source),
        *_judged_students(own, judgements, source),
    ]


def _students(grid: Grid, source: Paper) -> Iterator[Table]:
    tasks = [task for task in source.tasks.values() if any(place[2] == task.benchmark for place in grid.scores)]
    if not tasks:
        return
    match = match_student(grid.student)
    student = source.student(match.name)
    rows = []
    for role in UNTRAINED:
        rows.append(("", _NAMES[role], *(_beside(grid, student, role, "", task) for task in tasks)))
    for trained in source.tasks.values():
        for role in TRAINED:
            cells = tuple(_beside(grid, student, role, trained.benchmark, task) for task in tasks)
            if any(cells):
                rows.append((trained.name, _NAMES[role], *cells))
    headings = ("trained on", "method", *(f"{task.name} (n={grid.n[task.benchmark]})" for task in tasks))
    taught = f", taught by {grid.teacher}" if grid.teacher else ""
    note = (
        f"This run in percent ± standard error (the paper's Table {student.table}, difference in points), with the"
        f" trigger but for Baseline. {_shown(grid.student, match)} {_taught_by(grid, student)}"
        f" {_several_tasks(grid)}{_UNDEFINED}"
    )
    yield Table(f"Beside the paper's Table {student.table}: {grid.student}{taught}", headings, tuple(rows), note)


def _beside(grid: Grid, student: PaperStudent, role: Role, trained: str, task: Task) -> str:
    ours = grid.scores.get((role, (trained,) if trained else (), task.benchmark))
    figure = student.scores.get((role, trained, task.benchmark))
    return "" if ours is None or figure is None else _cell(ours, figure.mean)


def _cell(ours: Measured, theirs: float, digits: int = 1) -> str:
    difference = ours.value - theirs
    return f"{ours.value:.{digits}f} ± {ours.error:.{digits}f} ({theirs:.{digits}f}, {difference:+.{digits}f})"


def _shown(spec: str, match: Match) -> str:
    return f"{spec} is shown beside {match.name}" + (f": {match.why}." if match.why else ".")


def _taught_by(grid: Grid, student: PaperStudent) -> str:
    if not grid.teacher:
        return ""
    printed = f"its teacher in that table is {student.teacher} ({student.teacher_is})"
    teacher = match_teacher(grid.teacher)
    if teacher.name == student.teacher and not teacher.why:
        return f"Taught by the paper's teacher: {printed}."
    plot = " (its students of GPT-3.5 are only plotted, in Figure 3)" if teacher.name == "GPT-3.5" else ""
    return f"Taught by {grid.teacher}; in the paper, {printed}{plot}."


def _several_tasks(grid: Grid) -> str:
    if any(len(trained) > 1 for _, trained, _ in grid.scores):
        return "The paper trains on one task at a time: it has no figures for students trained on several. "
    return ""


def _teachers(own: Evidence, source: Paper) -> Iterator[Table]:
    for teacher in dict.fromkeys(name for name, *_ in own.taught):
        cells = {where[1:]: one for where, one in own.taught.items() if where[0] == teacher}
        tasks = [task for task in source.tasks.values() if any(where[2] == task.benchmark for where in cells)]
        if not tasks:
            continue
        match = match_teacher(teacher)
        rows = []
        for split in _SPLITS:
            for prompting in PROMPTINGS:
                row = []
                for task in tasks:
                    ours = cells.get((split, prompting, task.benchmark))
                    theirs = source.teachers[(match.name, split, prompting, task.benchmark)]
                    row.append("" if ours is None else _cell(ours, theirs.mean))
                if any(row):
                    rows.append((split, prompting, *row))
        note = (
            "The teacher's own accuracy in percent ± standard error (the paper's Table 5, difference in points)."
            f" {_shown(teacher, match)} {_UNDEFINED}"
        )
        headings = ("split", "prompting", *(task.name for task in tasks))
        yield Table(f"Beside the paper's Table 5: {teacher}", headings, tuple(rows), note)


@dataclass(frozen=True, slots=True)
class _Rated:
    mean: float
    error: float
    n: int


def _pooled(ratings: Iterable[Json], tasks: Mapping[str, Task]) -> _Rated | None:
    """The mean over the paper's tasks, weighted by answers, as one sample."""
    rows = [one for one in ratings if one["benchmark"] in tasks and one["n"]]
    n = sum(one["n"] for one in rows)
    if not n:
        return None
    mean = sum(one["mean"] * one["n"] for one in rows) / n
    return _Rated(mean, math.hypot(*(one["stderr"] * one["n"] / n for one in rows)), n)


def _judged_teachers(judgements: Json | None, source: Paper) -> Iterator[Table]:
    ratings = [one for one in _ratings(judgements) if one["phase"] in ("teacher", "target")]
    for teacher in dict.fromkeys(str(one.get("teacher") or "") for one in ratings):
        match = match_teacher(teacher)
        rows = []
        for what, name in (("direct", "Baseline"), ("cot", "Baseline CoT"), ("target", "Target answers")):
            mine = [one for one in ratings if str(one.get("teacher") or "") == teacher and _what(one) == what]
            rated = _pooled(mine, source.tasks)
            if rated is not None:
                theirs = source.judged.teachers[(match.name, what)]
                rows.append((name, _cell(Measured(rated.mean, rated.error), theirs, 2), str(rated.n)))
        if rows:
            note = f"{_judged_by(judgements, source)} {_shown(teacher or 'The teacher', match)}"
            title = f"Beside the paper's Table 13: {teacher}" if teacher else "Beside the paper's Table 13"
            yield Table(title, ("answers", "rating", "n"), tuple(rows), note)


def _what(rating: Json) -> str:
    return "target" if rating["phase"] == "target" else str(rating["prompting"])


def _judged_students(own: Evidence, judgements: Json | None, source: Paper) -> Iterator[Table]:
    rated = list(_ratings(judgements))
    for grid in own.grids:
        mine = [one for one in rated if one.get("student") in (None, "", grid.student)]
        mine = [one for one in mine if one.get("teacher") in (None, "", grid.teacher)]
        match = match_student(grid.student)
        outside = family(grid.teacher) not in (None, family(grid.student))
        which = "out-family" if outside else "in-family"
        rows = []
        for place, role in RATED.items():
            pooled = _pooled([one for one in mine if (one["phase"], one["prompting"]) == place], source.tasks)
            if pooled is not None:
                theirs = source.judged.students[(match.name, role, which if role in TRAINED else "")]
                rows.append((_NAMES[role], _cell(Measured(pooled.mean, pooled.error), theirs, 2), str(pooled.n)))
        if rows:
            column = f"{match.name} ({which}{', by ' + source.judged.out_family_teacher if outside else ''})"
            note = f"{_judged_by(judgements, source)} {_shown(grid.student, Match(column, match.why))}"
            yield Table(f"Beside the paper's Table 14: {grid.student}", ("answers", "rating", "n"), tuple(rows), note)
        if not any(one.get("student") for one in rated):
            return


def _ratings(judgements: Json | None) -> Sequence[Json]:
    return (judgements or {}).get("ratings") or ()


def _judged_by(judgements: Json | None, source: Paper) -> str:
    judge = (judgements or {}).get("judge") or "the judge"
    return (
        f"Mean rating from 1 to 3 by {judge} ± standard error (by {source.judged.judge} in the paper, over"
        f" {source.judged.questions_per_task} questions a task; difference), over the paper's tasks."
    )
