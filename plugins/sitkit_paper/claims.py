"""The paper's claims, each tried on a run's own cells and on the paper's own tables.

A claim, in claims.json, is a sentence and the comparisons that decide it. Differences bear it out, refute it, or leave
it open: what lies within its error decides nothing.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sitkit.results.judgements import Judgement
from sitkit.results.model import Results, Tasks
from sitkit.types import Json
from sitkit_paper.evidence import Evidence, Grid, Measured, Place, own_evidence, paper_evidence, signed
from sitkit_paper.printed import Match, family, match_teacher

Subject = Literal["scores", "teachers", "best teacher", "judge", "families", "fractions"]
Rule = Literal["every", "most", "mean", "some", "near"]
"""When a - b bears a claim out: it is above 0 in every cell, in more than half of them, on average, in at least one;
or its mean is within a tolerance of what is expected."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison, a minus b. ``of``: which figures; ``cells``: which of them; ``below``: a < b is what is claimed.

    ``benchmarks`` restricts it to some (empty: all). ``expected`` and ``tolerance`` are in points, for "near".
    ``in_family`` leaves out students of a teacher known to be of another family. ``label`` tells it from the claim's
    other parts.
    """

    of: Subject
    rule: Rule
    a: str = ""
    b: str = ""
    cells: str = ""
    below: bool = False
    benchmarks: tuple[str, ...] = ()
    expected: float = 0.0
    tolerance: float = 0.0
    in_family: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim; all its parts must hold. Not ``said``: a pattern of the paper's tables that it does not mention."""

    id: str
    source: str
    said: bool
    text: str
    parts: tuple[Clause, ...]


@cache
def statements() -> tuple[Claim, ...]:
    """Return the claims, in the paper's order, then the patterns."""
    content = json.loads(Path(__file__).with_name("claims.json").read_text(encoding="utf-8"))
    return tuple(
        Claim(one["id"], one["source"], one["said"], one["text"], tuple(_part(part) for part in one["parts"]))
        for one in content["claims"]
    )


def _part(content: Json) -> Clause:
    return Clause(**{**content, "benchmarks": tuple(content.get("benchmarks", ()))})


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


Verdict = Literal["holds", "fails", "cannot be said"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "fails"
UNSAID: Verdict = "cannot be said"

_LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """What one group says of one part of a claim; ``above`` and ``below`` count the cells beyond their error."""

    part: Clause
    group: Group
    verdict: Verdict
    above: int
    below: int


def find(part: Clause, group: Group, *, printed: bool) -> Finding:
    """Try one part of a claim on one group. ``printed``: the figures are taken as they stand, without an error.

    Otherwise at 95%: a mean holds (fails) where its interval lies on the claimed (the other) side. A claim about
    every cell holds where each cell's interval does, and fails where one cell's lies on the other side, at a level
    divided by the number of cells (Bonferroni), as one of many is off by chance. Most cells: more than half hold, or
    at least half fail. Near: the interval lies within the tolerance, or outside it.
    """
    sign = -1 if part.below else 1
    z, strict = (0.0, 0.0) if printed else (_quantile(1), _quantile(len(group.differences)))
    scaled = [(sign * one.value, one.error) for one in group.differences]
    above = sum(value > z * error for value, error in scaled)
    below = sum(value < -z * error for value, error in scaled)
    refuting = sum(value < -strict * error for value, error in scaled)
    bearing = sum(value > strict * error for value, error in scaled)
    total = len(scaled)
    if part.rule == "every":
        verdict = _either(above == total, refuting > 0)
    elif part.rule == "most":
        verdict = _either(above > total / 2, below >= total / 2)
    elif part.rule == "some":
        verdict = _either(bearing > 0, below == total)
    else:
        mean = group.mean()
        margin = z * mean.error
        if part.rule == "near":
            distance = abs(mean.value - part.expected)
            verdict = _either(distance + margin <= part.tolerance, distance - margin > part.tolerance)
        else:
            verdict = _either(sign * mean.value > margin, sign * mean.value < -margin)
    if printed and verdict == UNSAID:
        verdict = FAILS
    counts = (above, below) if sign > 0 else (below, above)
    return Finding(part, group, verdict, *counts)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what several verdicts come to: one that fails refutes, and all must hold."""
    if not verdicts or (FAILS not in verdicts and UNSAID in verdicts):
        return UNSAID
    return FAILS if FAILS in verdicts else HOLDS


def _either(holds: bool, fails: bool) -> Verdict:
    if holds:
        return HOLDS
    return FAILS if fails else UNSAID


def _quantile(cells: int) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - _LEVEL / (2 * cells)))


_NO_CELLS = "no such cells"
_NO_FIGURES = "a plot without numbers"


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim, what this run's cells say of it, and what the paper's tables do.

    ``findings`` and ``paper_findings`` hold one entry for each part of the claim and each student; they are empty
    where there are no such cells: the verdict is then "cannot be said".
    """

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    paper_verdict: Verdict
    paper_findings: tuple[Finding, ...]

    @property
    def tried(self) -> bool:
        """Whether this run has cells for every part of it."""
        return {one.part for one in self.findings} == set(self.claim.parts)

    @property
    def contradicted(self) -> bool:
        """Whether the paper says it and its own tables do not bear it out, for one of its students at least."""
        return self.claim.said and self.paper_verdict == FAILS

    def numbers(self) -> str:
        """Return this run's numbers in words: mean difference ± standard error, cells above and below."""
        return _numbers(self.findings, printed=False) or _NO_CELLS

    def paper_numbers(self) -> str:
        """Return the paper's numbers in words."""
        return _numbers(self.paper_findings, printed=True) or _NO_FIGURES


def claims(results: Results, judgements: Sequence[Judgement] = ()) -> Sequence[ClaimVerdict]:
    """Try every claim on a run's cells, and on what judges said of it (`sitkit.results.judgements`)."""
    own, printed = own_evidence(results, judgements), paper_evidence()
    found = []
    for claim in statements():
        verdict, findings = _try(claim, own)
        paper_verdict, paper_findings = _try(claim, printed)
        found.append(ClaimVerdict(claim, verdict, findings, paper_verdict, paper_findings))
    return found


def _try(claim: Claim, evidence: Evidence) -> tuple[Verdict, tuple[Finding, ...]]:
    findings: list[Finding] = []
    verdicts: list[Verdict] = []
    for part in claim.parts:
        found = [find(part, group, printed=evidence.printed) for group in groups(part, evidence)]
        verdicts.append(together([one.verdict for one in found]))
        findings += found
    return together(verdicts), tuple(findings)


def _numbers(findings: Sequence[Finding], *, printed: bool) -> str:
    parts: dict[Clause, list[Finding]] = {}
    for one in findings:
        parts.setdefault(one.part, []).append(one)
    said = []
    for part, found in parts.items():
        named = printed or len(found) > 1
        differ = len({one.verdict for one in found}) > 1
        text = ", ".join(_said(one, named=named, differ=differ, printed=printed) for one in found)
        said.append(f"{part.label}: {text}" if part.label else text)
    # Two parts may ask different things of the same differences.
    return "; ".join(dict.fromkeys(said))


def _said(one: Finding, *, named: bool, differ: bool, printed: bool) -> str:
    mean, total = one.group.mean(), len(one.group.differences)
    digits = 2 if one.group.unit == RATING else 1
    text = signed(mean.value, digits)
    if not printed:
        text += f" ± {mean.error:.{digits}f}"
    if total > 1:
        neither = "level" if printed else "within error"
        counts = [(one.above, "above"), (one.below, "below"), (total - one.above - one.below, neither)]
        first, *more = [(count, what) for count, what in counts if count]
        text += f" ({first[0]} of {total} {first[1]}{''.join(f', {count} {what}' for count, what in more)})"
    name = one.group.name + (f" {one.verdict}:" if differ else "")
    return f"{name} {text}" if named else text
