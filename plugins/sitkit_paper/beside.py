"""A run's numbers next to those the paper prints: Tables 1, 10 and 11, 5 and 14."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sitkit.report.cells import Measured, signed
from sitkit.report.tables import Table
from sitkit.types import PROMPTINGS, Json
from sitkit_paper.evidence import Evidence, Grid
from sitkit_paper.figures import TRAINED, UNTRAINED, Paper, PaperStudent, Role, Task, paper
from sitkit_paper.names import Match, family, match_student, match_teacher
from sitkit_paper.own import own_evidence
from sitkit_paper.ratings import ratings

_NAMES: dict[Role, str] = {
    "baseline": "Baseline",
    "baseline_cot": "Baseline CoT",
    "instruct": "Instruction-tuning",
    "refine": "+ Self-refine",
    "cross": "Cross Self-refine",
}
_UNDEFINED = "The paper does not say what its ± is, so it is left out."
_SPLITS = ("train", "test")


def paper_tables(results: Json, judgements: Sequence[Json] = ()) -> Sequence[Table]:
    """Return the tables that lay a run beside the paper; none for a run without the paper's tasks.

    A cell holds the run's value ± its standard error, and in brackets the paper's and the difference. ``judgements``
    are what judges said of the run (`sitkit.report.judgements.load_judgements`). They rate students, so there is no
    run's side to Table 13, which is of teachers.
    """
    source, own = paper(), own_evidence(results, judgements)
    return [
        *(table for grid in own.grids for table in _students(grid, source)),
        *_teachers(own, source),
        *(table for grid in own.grids for one in judgements for table in _judged(grid, one, source)),
    ]


def _students(grid: Grid, source: Paper) -> Iterator[Table]:
    tasks = [task for task in source.tasks.values() if any(place[2] == task.benchmark for place in grid.scores)]
    if not tasks:
        return
    match = match_student(grid.student)
    student = source.student(match.name)
    lines = [("", "", role) for role in UNTRAINED]
    lines += [(trained.name, trained.benchmark, role) for trained in source.tasks.values() for role in TRAINED]
    rows = []
    for name, trained_on, role in lines:
        cells = [_beside(grid, student, role, trained_on, task) for task in tasks]
        if any(cells):
            rows.append((name, _NAMES[role], *cells))
    if not rows:
        return
    headings = ("trained on", "method", *(f"{task.name} (n={grid.n[task.benchmark]})" for task in tasks))
    taught = f", taught by {grid.teacher}" if grid.teacher else ""
    said = (
        f"This run in percent ± standard error (the paper's Table {student.table}, difference in points), with the"
        " trigger but for Baseline.",
        _shown(grid.student, match),
        _taught_by(grid, student),
        _several_tasks(grid),
        _UNDEFINED,
    )
    note = " ".join(text for text in said if text)
    yield Table(f"Beside the paper's Table {student.table}: {grid.student}{taught}", headings, tuple(rows), note)


def _beside(grid: Grid, student: PaperStudent, role: Role, trained: str, task: Task) -> str:
    ours = grid.scores.get((role, (trained,) if trained else (), task.benchmark))
    figure = student.scores.get((role, trained, task.benchmark))
    return "" if ours is None or figure is None else _cell(ours, figure.mean)


def _cell(ours: Measured, theirs: float, digits: int = 1) -> str:
    difference = signed(ours.value - theirs, digits)
    return f"{ours.value:.{digits}f} ± {ours.error:.{digits}f} ({theirs:.{digits}f}, {difference})"


def _shown(spec: str, match: Match) -> str:
    return f"{spec} is shown beside {match.name}" + (f": {match.why}." if match.why else ".")


def _taught_by(grid: Grid, student: PaperStudent) -> str:
    if not grid.teacher:
        return ""
    printed = f"{student.teacher} ({student.teacher_is})"
    teacher = match_teacher(grid.teacher)
    if teacher == Match(student.teacher):
        return f"Both were taught by {printed}."
    plot = "; its students of GPT-3.5 are only plotted, in Figure 3" if teacher == Match("GPT-3.5") else ""
    return f"It was taught by {grid.teacher}, the paper's student by {printed}{plot}."


def _several_tasks(grid: Grid) -> str:
    if any(len(trained) > 1 for _, trained, _ in grid.scores):
        return "The paper trains on one task at a time: it has no figures for students trained on several."
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


def _judged(grid: Grid, judgement: Json, source: Paper) -> Iterator[Table]:
    match = match_student(grid.student)
    outside = family(grid.teacher) not in (None, family(grid.student))
    column = f"{match.name} ({f'out-family, by {source.judged.out_family_teacher}' if outside else 'in-family'})"
    rows = []
    for role in (*UNTRAINED, *TRAINED):
        mine = [
            one
            for one in ratings(judgement)
            if (one.student, one.role) == (grid.student, role)
            and one.teacher in ("", grid.teacher)
            and one.benchmark in source.tasks
        ]
        n = sum(one.n for one in mine)
        if n:
            mean = sum(one.rating.value * one.n for one in mine) / n
            error = math.hypot(*(one.rating.error * one.n / n for one in mine))
            family_of = "" if role in UNTRAINED else "out-family" if outside else "in-family"
            theirs = source.judged.students[(match.name, role, family_of)]
            rows.append((_NAMES[role], _cell(Measured(mean, error), theirs, 2), str(n)))
    if rows:
        note = (
            f"Mean rating from 1 to 3 by {judgement['judge']} ± standard error (by {source.judged.judge} in the paper,"
            f" over {source.judged.questions_per_task} questions a task; difference): the paper's tasks, trained"
            f" students each on its own. {_shown(grid.student, Match(column, match.why))}"
        )
        taught = f", taught by {grid.teacher}" if grid.teacher else ""
        title = f"Beside the paper's Table 14: {grid.student}{taught}, judged by {judgement['judge']}"
        yield Table(title, ("answers", "rating", "n"), tuple(rows), note)
