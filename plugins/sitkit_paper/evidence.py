"""What claims are tried on, in one shape for the paper's tables and for a run: percentages by role and task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from sitkit.results.judgements import Judgement, Rating
from sitkit.results.model import Cell, Results, Tasks, TeacherScore
from sitkit_paper.printed import Paper, Role, paper

Place = tuple[Role, Tasks, str]
"""What was done to a student, the benchmarks it was trained on (none for a baseline), the one it is evaluated on."""

_RATED_ROLES: dict[tuple[str, str], Role] = {
    ("baseline", "direct"): "baseline",
    ("baseline", "cot"): "baseline_cot",
    ("instruct", "cot"): "instruct",
    ("refine", "cot"): "refine",
}
"""The rows of Table 14: phase and prompting -> what the paper calls it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean with its standard error, in whatever unit it is told in."""

    value: float
    error: float


def signed(value: float, digits: int) -> str:
    """Return a number with its sign (0 has +), halves rounded away from 0: as a float, 4.55 is a little less."""
    exact = Decimal(repr(round(value, 6))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{exact if exact else abs(exact):+}"


@dataclass(frozen=True)
class Grid:
    """One student under one teacher. ``targets``: the teacher's own accuracy with the trigger on test splits."""

    student: str
    teacher: str
    scores: Mapping[Place, Measured]
    targets: Mapping[str, Measured]
    n: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """All there is to try claims on. In percent, ratings from 1 to 3.

    ``printed``: these are the paper's figures, whose uncertainty is not known, so that they are taken as they stand.
    ``taught``: teacher, split, prompting, benchmark. ``rated``: whose students, role, benchmark ("" for all).
    ``pipelines``: whose students, fraction, method, tasks, benchmark.
    """

    printed: bool
    domains: Mapping[str, str]
    grids: tuple[Grid, ...]
    taught: Mapping[tuple[str, str, str, str], Measured]
    rated: Mapping[tuple[str, str, str], Measured]
    pipelines: Mapping[tuple[str, float, str, Tasks, str], Measured]


@cache
def paper_evidence() -> Evidence:
    """Return the paper's own figures; its low-resource curves are a plot without numbers, so there are none."""
    source = paper()
    return Evidence(
        printed=True,
        domains={one.benchmark: one.domain for one in source.tasks.values()},
        grids=tuple(_printed_grid(source, one.name) for one in source.students),
        taught={place: Measured(figure.mean, 0.0) for place, figure in source.teachers.items()},
        rated={
            (f"{student} {family}", role, ""): Measured(rating, 0.0)
            for (student, role, family), rating in source.judged.students.items()
            if family
        },
        pipelines={},
    )


def _printed_grid(source: Paper, name: str) -> Grid:
    student = source.student(name)
    return Grid(
        student=name,
        teacher=student.teacher,
        scores={
            (role, (trained,) if trained else (), evaluated): Measured(figure.mean, 0.0)
            for (role, trained, evaluated), figure in student.scores.items()
        },
        targets={
            benchmark: Measured(figure.mean, 0.0)
            for (teacher, split, prompting, benchmark), figure in source.teachers.items()
            if (teacher, split, prompting) == (student.teacher, "test", "cot")
        },
    )


def paper_falls() -> tuple[int, int]:
    """Return in how many cells of Tables 1, 10 and 11 instruction-tuning is below Baseline CoT, and of how many."""
    found = [
        measured.value < grid.scores[("baseline_cot", (), evaluated)].value
        for grid in paper_evidence().grids
        for (role, _, evaluated), measured in grid.scores.items()
        if role == "instruct"
    ]
    return sum(found), len(found)


def own_evidence(results: Results, judgements: Sequence[Judgement] = ()) -> Evidence:
    """Return a run's results as evidence, at the largest fraction of the demonstrations where there are several."""
    cells, taught = results.cells, _taught(results.teacher_scores)
    domains = {one.benchmark: one.domain for one in paper().tasks.values()}
    return Evidence(
        printed=False,
        domains=domains | {cell.benchmark: cell.domain for cell in cells if cell.domain},
        grids=tuple(_grid(student, teacher, cells, taught) for student, teacher in _whose(cells)),
        taught=taught,
        rated={
            (f"{one.student} by {one.teacher}, judged by {judgement.judge}", one.role, one.benchmark): one.rating
            for judgement in judgements
            for one in student_ratings(judgement)
        },
        pipelines=_pipelines(cells),
    )


def _percent(cell: Cell) -> Measured:
    return Measured(100 * cell.value, 100 * cell.error)


def _role(cell: Cell) -> Role | None:
    """A cell's role in the paper's tables, or None: it knows no direct answers of trained students, say."""
    if cell.phase == "baseline":
        return "baseline" if cell.prompting == "direct" else "baseline_cot"
    if cell.prompting == "direct" or cell.method == "refine":
        return None
    if cell.phase == "instruct":
        return "instruct"
    if set(cell.refine_on) == set(cell.train_on):
        return "refine"
    crossed = cell.refine_on == (cell.benchmark,) and cell.benchmark not in cell.train_on
    return "cross" if crossed else None


def _whose(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    taught = list(dict.fromkeys((cell.student, cell.teacher) for cell in cells if cell.phase != "baseline"))
    students = {student for student, _ in taught}
    return taught + [(name, "") for name in dict.fromkeys(cell.student for cell in cells) if name not in students]


def _grid(
    student: str, teacher: str, cells: Sequence[Cell], taught: Mapping[tuple[str, str, str, str], Measured]
) -> Grid:
    ours = [cell for cell in cells if cell.student == student and (cell.phase == "baseline" or cell.teacher == teacher)]
    most = max((cell.fraction for cell in ours if cell.phase != "baseline"), default=1.0)
    scores: dict[Place, Measured] = {}
    for cell in ours:
        role = _role(cell)
        if role is not None and (cell.phase == "baseline" or cell.fraction == most):
            scores[(role, cell.train_on, cell.benchmark)] = _percent(cell)
    return Grid(
        student=student,
        teacher=teacher,
        scores=scores,
        targets={
            benchmark: measured
            for (name, split, prompting, benchmark), measured in taught.items()
            if (name, split, prompting) == (teacher, "test", "cot")
        },
        n={cell.benchmark: cell.n for cell in ours},
    )


def _taught(scores: Iterable[TeacherScore]) -> dict[tuple[str, str, str, str], Measured]:
    largest: dict[tuple[str, str, str, str], TeacherScore] = {}
    for score in scores:
        place = (score.teacher, score.split, score.prompting, score.benchmark)
        # Fractions and seeds draw from one set of questions: the largest draw says most.
        if place not in largest or score.n > largest[place].n:
            largest[place] = score
    return {place: Measured(100 * score.value, 100 * score.stderr) for place, score in largest.items()}


def _pipelines(cells: Iterable[Cell]) -> dict[tuple[str, float, str, Tasks, str], Measured]:
    """On the tasks trained on: instructed only, refined only, both."""
    found = {}
    for cell in cells:
        if cell.phase == "baseline" or cell.prompting == "direct":
            continue
        method = "instruct" if cell.phase == "instruct" else cell.method
        tasks = cell.train_on or cell.refine_on
        if cell.benchmark in tasks and (method != "both" or set(cell.refine_on) == set(tasks)):
            whose = f"{cell.student} by {cell.teacher}"
            found[(whose, cell.fraction, method, tuple(sorted(tasks)), cell.benchmark)] = _percent(cell)
    return found


@dataclass(frozen=True, slots=True)
class StudentRating:
    """The mean rating, from 1 to 3 over n answers, of a student on a task it was trained on (or untrained)."""

    student: str
    teacher: str
    role: Role
    benchmark: str
    rating: Measured
    n: int


def student_ratings(judgement: Judgement) -> list[StudentRating]:
    """Return a judge's ratings of students in the roles of Table 14, at the largest fraction of the demonstrations."""
    rows = [(name, row, rating) for name, row, rating in rated(judgement) if (row.phase, row.prompting) in _RATED_ROLES]
    most = max((row.fraction for _, row, _ in rows if row.phase != "baseline"), default=1.0)
    return [
        StudentRating(row.student, row.teacher, _RATED_ROLES[row.phase, row.prompting], name, rating, row.n)
        for name, row, rating in rows
        if row.phase == "baseline" or (row.fraction == most and _of_its_task(row))
    ]


def rated(judgement: Judgement) -> Iterator[tuple[str, Rating, Measured]]:
    """Yield (benchmark, row, rating) for the ratings of two answers or more to one benchmark.

    Ratings that are all the same leave a standard error of 0; it is taken as at least that of one point in n + 1.
    """
    for row in judgement.ratings:
        if row.benchmark is not None and row.mean is not None and row.n > 1:
            yield row.benchmark, row, Measured(row.mean, max(row.stderr or 0.0, 1 / (row.n + 1)))


def _of_its_task(row: Rating) -> bool:
    if row.phase == "refine" and set(row.refine_on) != set(row.train_on):
        return False
    return row.benchmark in row.train_on
