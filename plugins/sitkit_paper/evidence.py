"""What claims are tried on, in one shape for the paper's tables and for a run: percentages by role and task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from sitkit.report.cells import Measured, Tasks
from sitkit_paper.figures import Paper, Role, paper

Place = tuple[Role, Tasks, str]
"""What was done to a student, the benchmarks it was trained on (none for a baseline), the one it is evaluated on."""


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
        grids=tuple(_grid(source, one.name) for one in source.students),
        taught={place: Measured(figure.mean, 0.0) for place, figure in source.teachers.items()},
        rated=_rated(source),
        pipelines={},
    )


def _grid(source: Paper, name: str) -> Grid:
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


def _rated(source: Paper) -> dict[tuple[str, str, str], Measured]:
    return {
        (f"{student} {family}", role, ""): Measured(rating, 0.0)
        for (student, role, family), rating in source.judged.students.items()
        if family
    }


def paper_falls() -> tuple[int, int]:
    """Return in how many cells of Tables 1, 10 and 11 instruction-tuning is below Baseline CoT, and of how many."""
    found = [
        measured.value < grid.scores[("baseline_cot", (), evaluated)].value
        for grid in paper_evidence().grids
        for (role, _, evaluated), measured in grid.scores.items()
        if role == "instruct"
    ]
    return sum(found), len(found)
