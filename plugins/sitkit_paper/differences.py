"""Which figures a claim compares: for each student (or teacher), the differences it is about."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sitkit.report.cells import Measured, Tasks
from sitkit_paper.evidence import Evidence, Grid, Place
from sitkit_paper.names import Match, family, match_teacher
from sitkit_paper.statements import Clause, Subject

POINTS = "points"
RATING = "of a rating from 1 to 3"


@dataclass(frozen=True, slots=True)
class Difference:
    """a - b in one cell. ``questions`` names what it was measured on: those of one test set move together."""

    value: float
    error: float
    questions: str


@dataclass(frozen=True)
class Group:
    """The differences of one student or teacher (``name``), in ``unit``."""

    name: str
    differences: tuple[Difference, ...]
    unit: str = POINTS

    def mean(self) -> Measured:
        """Return the mean and its standard error, taken on the safe side.

        Differences on the same questions are taken as moving together (their errors are averaged), those on
        different test sets as independent.
        """
        total = len(self.differences)
        by_questions: dict[str, float] = {}
        for one in self.differences:
            by_questions[one.questions] = by_questions.get(one.questions, 0.0) + one.error / total
        return Measured(statistics.fmean(one.value for one in self.differences), math.hypot(*by_questions.values()))


def groups(part: Clause, evidence: Evidence) -> list[Group]:
    """Return the groups a part of a claim is about; those without a difference are left out."""
    return [group for group in _SUBJECTS[part.of](part, evidence) if group.differences]


def _scores(part: Clause, evidence: Evidence) -> Iterator[Group]:
    several = len({grid.student for grid in evidence.grids}) < len(evidence.grids)
    for grid in evidence.grids:
        if part.in_family and _out_family(grid):
            continue
        name = f"{grid.student} by {grid.teacher}" if several else grid.student
        yield Group(name, tuple(_cells(part, grid, evidence.domains)))


def _out_family(grid: Grid) -> bool:
    taught_by, own = family(grid.teacher), family(grid.student)
    return taught_by is not None and own is not None and taught_by != own


def _cells(part: Clause, grid: Grid, domains: Mapping[str, str]) -> Iterator[Difference]:
    if part.cells == "tasks":
        places: list[tuple[Tasks, str]] = [((), evaluated) for role, _, evaluated in grid.scores if role == "baseline"]
    else:
        places = list(dict.fromkeys((trained, evaluated) for _, trained, evaluated in grid.scores if trained))
    for trained, evaluated in places:
        if part.benchmarks and evaluated not in part.benchmarks:
            continue
        if part.cells != "tasks" and not _among(part.cells, trained, evaluated, domains):
            continue
        one = _figure(part.a, grid, trained, evaluated)
        other = _figure(part.b, grid, trained, evaluated)
        if one is not None and other is not None:
            yield _minus(one, other, evaluated)


def _figure(what: str, grid: Grid, trained: Tasks, evaluated: str) -> Measured | None:
    if what == "teacher":
        return grid.targets.get(evaluated)
    places: dict[str, Place] = {
        "baseline": ("baseline", (), evaluated),
        "baseline_cot": ("baseline_cot", (), evaluated),
        "instruct": ("instruct", trained, evaluated),
        "refine": ("refine", trained, evaluated),
        "cross": ("cross", trained, evaluated),
        "refine_of_target": ("refine", (evaluated,), evaluated),
    }
    return grid.scores.get(places[what])


def _among(cells: str, trained: Tasks, evaluated: str, domains: Mapping[str, str]) -> bool:
    if cells == "all":
        return True
    domain, taught = domains.get(evaluated), {domains.get(name) for name in trained}
    if evaluated in trained:
        return cells in ("diagonal", f"diagonal_{domain}")
    if cells == "off_diagonal":
        return True
    if domain is None or None in taught:
        return False
    if cells == "out_domain":
        return domain not in taught
    source, _, target = cells.partition("->")
    return taught == {source} and domain == target


def _teachers(part: Clause, evidence: Evidence) -> Iterator[Group]:
    for teacher in dict.fromkeys(name for name, *_ in evidence.taught):
        found = []
        for (name, split, prompting, benchmark), prompted in evidence.taught.items():
            plain = evidence.taught.get((name, split, "direct", benchmark))
            if name == teacher and prompting == "cot" and plain is not None:
                found.append(_minus(prompted, plain, f"{split} {benchmark}"))
        yield Group(teacher, tuple(found))


def _best_teacher(part: Clause, evidence: Evidence) -> Iterator[Group]:
    found = []
    for (teacher, split, prompting, benchmark), measured in evidence.taught.items():
        if match_teacher(teacher) != Match(part.a):
            continue
        others = [
            other
            for (name, *where), other in evidence.taught.items()
            if name != teacher and where == [split, prompting, benchmark]
        ]
        if others:
            best = max(others, key=lambda one: one.value)
            found.append(_minus(measured, best, f"{split} {benchmark}"))
    yield Group(part.a, tuple(found))


def _judge(part: Clause, evidence: Evidence) -> Iterator[Group]:
    for name in dict.fromkeys(whose for whose, *_ in evidence.rated):
        found = []
        for (whose, role, benchmark), one in evidence.rated.items():
            other = evidence.rated.get((whose, part.b, benchmark))
            if (whose, role) == (name, part.a) and other is not None:
                found.append(_minus(one, other, benchmark))
        yield Group(name, tuple(found), RATING)


def _families(part: Clause, evidence: Evidence) -> Iterator[Group]:
    if evidence.printed:
        yield from _printed_families(part, evidence)
        return
    for student in dict.fromkeys(grid.student for grid in evidence.grids):
        taught = [grid for grid in evidence.grids if grid.student == student]
        same = [grid for grid in taught if family(grid.teacher) is not None and not _out_family(grid)]
        other = [grid for grid in taught if _out_family(grid)]
        found = []
        for outside in other:
            for place, one in outside.scores.items():
                role, trained, evaluated = place
                if role == part.a and evaluated in trained:
                    found += [_minus(one, inside.scores[place], evaluated) for inside in same if place in inside.scores]
        yield Group(student, tuple(found))


def _printed_families(part: Clause, evidence: Evidence) -> Iterator[Group]:
    # The accuracies are a plot (Figure 3); the ratings of Table 14 are printed.
    for (whose, role, benchmark), one in evidence.rated.items():
        student, _, which = whose.rpartition(" ")
        inside = evidence.rated.get((f"{student} in-family", role, benchmark))
        if role == part.a and which == "out-family" and inside is not None:
            yield Group(student, (_minus(one, inside, ""),), RATING)


def _fractions(part: Clause, evidence: Evidence) -> Iterator[Group]:
    for name in dict.fromkeys(whose for whose, *_ in evidence.pipelines):
        found = []
        for fraction in sorted({where[1] for where in evidence.pipelines if where[0] == name}):
            cells = []
            for (whose, at, method, tasks, benchmark), one in evidence.pipelines.items():
                other = evidence.pipelines.get((name, fraction, part.b, tasks, benchmark))
                if (whose, at, method) == (name, fraction, part.a) and other is not None:
                    cells.append(_minus(one, other, benchmark))
            if cells:
                mean = Group(name, tuple(cells)).mean()
                found.append(Difference(mean.value, mean.error, "all"))
        yield Group(name, tuple(found))


def _minus(one: Measured, other: Measured, questions: str) -> Difference:
    # Figures have one decimal, and a tie must stay one.
    return Difference(round(one.value - other.value, 9), math.hypot(one.error, other.error), questions)


_SUBJECTS: dict[Subject, Callable[[Clause, Evidence], Iterator[Group]]] = {
    "scores": _scores,
    "teachers": _teachers,
    "best teacher": _best_teacher,
    "judge": _judge,
    "families": _families,
    "fractions": _fractions,
}
