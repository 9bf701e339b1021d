"""A run's results in the shape claims are tried on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sitkit.report.cells import Measured, ScoredCell, Tasks, collect, floored
from sitkit.types import Json
from sitkit_paper.evidence import Evidence, Grid, Place
from sitkit_paper.figures import Role, paper
from sitkit_paper.ratings import ratings


def own_evidence(results: Json, judgements: Sequence[Json] = ()) -> Evidence:
    """Return a run's results as evidence, at the largest fraction of the demonstrations where there are several."""
    cells = collect(results["scores"])
    taught = _taught(results.get("teacher_accuracy") or ())
    domains = {one.benchmark: one.domain for one in paper().tasks.values()}
    return Evidence(
        printed=False,
        domains=domains | {cell.benchmark: cell.domain for cell in cells if cell.domain},
        grids=tuple(_grid(student, teacher, cells, taught) for student, teacher in _whose(cells)),
        taught=taught,
        rated=_rated(judgements),
        pipelines=_pipelines(cells),
    )


def role(cell: ScoredCell) -> Role | None:
    """Return a cell's role in the paper's tables, or None: it knows no direct answers of trained students, say."""
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


def _whose(cells: Sequence[ScoredCell]) -> list[tuple[str, str]]:
    taught = list(dict.fromkeys((cell.student, cell.teacher) for cell in cells if cell.phase != "baseline"))
    students = {student for student, _ in taught}
    return taught + [(one, "") for one in dict.fromkeys(cell.student for cell in cells) if one not in students]


def _grid(student: str, teacher: str, cells: Sequence[ScoredCell], taught: Json) -> Grid:
    ours = [cell for cell in cells if cell.student == student and (cell.phase == "baseline" or cell.teacher == teacher)]
    most = max((cell.fraction for cell in ours if cell.phase != "baseline"), default=1.0)
    scores: dict[Place, Measured] = {}
    for cell in ours:
        found = role(cell)
        if found is not None and (cell.phase == "baseline" or cell.fraction == most):
            scores[(found, cell.train_on, cell.benchmark)] = cell.percent
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


def _taught(rows: Iterable[Json]) -> dict[tuple[str, str, str, str], Measured]:
    largest: dict[tuple[str, str, str, str], Json] = {}
    for row in rows:
        place = (row["teacher"], row["split"], row["prompting"], row["benchmark"])
        # Fractions and seeds draw from one set of questions: the largest draw says most.
        if place not in largest or row["n"] > largest[place]["n"]:
            largest[place] = row
    return {
        place: Measured(100 * row["value"], 100 * floored(row["stderr"], row["value"], row["n"]))
        for place, row in largest.items()
    }


def _rated(judgements: Iterable[Json]) -> dict[tuple[str, str, str], Measured]:
    found: dict[tuple[str, str, str], Measured] = {}
    for judgement in judgements:
        for one in ratings(judgement):
            whose = f"{one.student} by {one.teacher}, judged by {judgement['judge']}"
            found[(whose, one.role, one.benchmark)] = one.rating
    return found


def _pipelines(cells: Iterable[ScoredCell]) -> dict[tuple[str, float, str, Tasks, str], Measured]:
    """On the tasks trained on: instructed only, refined only, both."""
    found = {}
    for cell in cells:
        if cell.phase == "baseline" or cell.prompting == "direct":
            continue
        method = "instruct" if cell.phase == "instruct" else cell.method
        tasks = cell.train_on or cell.refine_on
        if cell.benchmark in tasks and (method != "both" or set(cell.refine_on) == set(tasks)):
            whose = f"{cell.student} by {cell.teacher}"
            found[(whose, cell.fraction, method, tuple(sorted(tasks)), cell.benchmark)] = cell.percent
    return found
