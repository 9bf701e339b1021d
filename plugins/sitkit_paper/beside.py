"""A run beside the paper, as tables: its numbers next to those of Tables 1, 10, 11, 5, 13 and 14, and the claims."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sitkit.report.tables import ReportSection, Table
from sitkit.results.judgements import Judgement
from sitkit.results.model import Results
from sitkit.types import PROMPTINGS
from sitkit_paper.claims import ClaimVerdict, claims
from sitkit_paper.evidence import Evidence, Grid, Measured, own_evidence, paper_falls, rated, signed, student_ratings
from sitkit_paper.printed import (
    TRAINED,
    UNTRAINED,
    Match,
    Paper,
    PaperStudent,
    Role,
    Task,
    family,
    match_student,
    match_teacher,
    paper,
)

_NAMES: dict[Role, str] = {
    "baseline": "Baseline",
    "baseline_cot": "Baseline CoT",
    "instruct": "Instruction-tuning",
    "refine": "+ Self-refine",
    "cross": "Cross Self-refine",
}
_UNDEFINED = "The paper does not say what its ± is, so it is left out."
_SPLITS = ("train", "test")
_CERTAIN = 1.96


def paper_section(results: Results, judgements: Sequence[Judgement]) -> ReportSection | None:
    """Return the section that lays a run beside the paper; None for a run without the paper's tasks."""
    tables = paper_tables(results, judgements)
    if not tables:
        return None
    verdicts = claims(results, judgements)
    note = (
        "The run's own numbers are those of the tables of accuracy and ratings, which name the files behind them; the"
        " paper's are those of the table named in each title (arXiv 2405.00402)."
    )
    if _fell(results):
        below, total = paper_falls()
        note += (
            " Instruction-tuning lowered accuracy in this run; so it did in the paper's Tables 1, 10 and 11, in"
            f" {below} of {total} cells (below Baseline CoT)."
        )
    found = (*tables, claim_table(verdicts), contradiction_table(verdicts))
    return ReportSection("paper", "Beside the paper", tuple(table for table in found if table.rows), note)


def _fell(results: Results) -> bool:
    return any(
        before.value - after.value > _CERTAIN * math.hypot(before.error, after.error)
        for before, after, _ in results.changes_to("instruct")
    )


def paper_tables(results: Results, judgements: Sequence[Judgement] = ()) -> Sequence[Table]:
    """Return the tables that lay a run beside the paper's figures; none for a run without the paper's tasks.

    A cell holds the run's value ± its standard error, and in brackets the paper's and the difference. ``judgements``
    are what judges said of the run.
    """
    source, own = paper(), own_evidence(results, judgements)
    return [
        *(table for grid in own.grids for table in _students(grid, source)),
        *_teachers(own, source),
        *(table for judgement in judgements for table in _judged_teachers(judgement, source)),
        *(table for grid in own.grids for judgement in judgements for table in _judged(grid, judgement, source)),
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
        f"This run in percent ± standard error (the paper's Table {student.table}, difference in points), with"
        " CoT but for Baseline.",
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


def _judged_teachers(judgement: Judgement, source: Paper) -> Iterator[Table]:
    found: dict[tuple[str, str], list[tuple[Measured, int]]] = {}
    for benchmark, row, rating in rated(judgement):
        if row.phase in ("teacher", "target") and benchmark in source.tasks:
            place = (row.teacher, "target" if row.phase == "target" else str(row.prompting))
            found.setdefault(place, []).append((rating, row.n))
    if not found:
        return
    rows = []
    for (teacher, what), ratings in found.items():
        mean, n = _pooled(ratings)
        answers = "targets" if what == "target" else f"{teacher}, {what}"
        rows.append((answers, _cell(mean, source.judged.teachers[match_teacher(teacher).name, what], 2), str(n)))
    teachers = dict.fromkeys(teacher for teacher, what in found if what != "target")
    note = " ".join((_rated_by(judgement, source), *(_shown(name, match_teacher(name)) for name in teachers)))
    yield Table(
        f"Beside the paper's Table 13: judged by {judgement.judge}", ("answers", "rating", "n"), tuple(rows), note
    )


def _pooled(ratings: Sequence[tuple[Measured, int]]) -> tuple[Measured, int]:
    """The mean over all answers, and how many there are."""
    n = sum(count for _, count in ratings)
    mean = sum(rating.value * count for rating, count in ratings) / n
    return Measured(mean, math.hypot(*(rating.error * count / n for rating, count in ratings))), n


def _rated_by(judgement: Judgement, source: Paper) -> str:
    return (
        f"Mean rating from 1 to 3 by {judgement.judge} ± standard error (by {source.judged.judge} in the paper, over"
        f" {source.judged.questions_per_task} questions a task; difference), on the paper's tasks."
    )


def _judged(grid: Grid, judgement: Judgement, source: Paper) -> Iterator[Table]:
    match = match_student(grid.student)
    outside = family(grid.teacher) not in (None, family(grid.student))
    column = f"{match.name} ({f'out-family, by {source.judged.out_family_teacher}' if outside else 'in-family'})"
    rows = []
    for role in (*UNTRAINED, *TRAINED):
        mine = [
            (one.rating, one.n)
            for one in student_ratings(judgement)
            if (one.student, one.role) == (grid.student, role)
            and one.teacher in ("", grid.teacher)
            and one.benchmark in source.tasks
        ]
        if mine:
            mean, n = _pooled(mine)
            family_of = "" if role in UNTRAINED else "out-family" if outside else "in-family"
            theirs = source.judged.students[(match.name, role, family_of)]
            rows.append((_NAMES[role], _cell(mean, theirs, 2), str(n)))
    if rows:
        note = (
            f"{_rated_by(judgement, source)} Trained students are rated on their own tasks."
            f" {_shown(grid.student, Match(column, match.why))}"
        )
        taught = f", taught by {grid.teacher}" if grid.teacher else ""
        title = f"Beside the paper's Table 14: {grid.student}{taught}, judged by {judgement.judge}"
        yield Table(title, ("answers", "rating", "n"), tuple(rows), note)


def claim_table(verdicts: Sequence[ClaimVerdict]) -> Table:
    """Return the claims this run has cells for; the note names the others, and those the paper's tables contradict."""
    tried = [one for one in verdicts if one.tried]
    untried = [one.claim.id for one in verdicts if not one.tried]
    contradicted = [one.claim.id for one in verdicts if one.contradicted]
    note = (
        "What the paper (arXiv 2405.00402) says, in our words, tried on this run's cells with CoT at 95%:"
        " mean difference in points ± standard error, and how many cells lie above or below 0 beyond their error."
        " Beside it, what the paper's own tables say, taken as they stand. Ids with D are not its own: they say"
        " what else its tables show, or do not."
    )
    if contradicted:
        note += f" The paper's own tables contradict {', '.join(contradicted)}."
    if untried:
        note += f" This run has no cells for {', '.join(untried)}."
    rows = tuple(
        (
            f"{one.claim.id} {one.claim.text}",
            one.verdict,
            one.numbers(),
            one.paper_verdict if one.paper_findings else "-",
            one.paper_numbers(),
        )
        for one in tried
    )
    headings = ("claim", "this run", "its numbers", "the paper's tables", "their numbers")
    return Table("The paper's claims", headings, rows, note)


def contradiction_table(verdicts: Sequence[ClaimVerdict]) -> Table:
    """Return the claims that the paper's own tables contradict, for one of its students at least."""
    rows = tuple(
        (f"{one.claim.id} {one.claim.text}", one.claim.source, one.paper_numbers())
        for one in verdicts
        if one.contradicted
    )
    note = "Evaluated from the figures of Tables 1, 5, 10, 11 and 14 as printed (arXiv 2405.00402v1)."
    return Table("What the paper's own tables contradict", ("claim", "where it is made", "its tables"), rows, note)
