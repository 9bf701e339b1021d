"""What a judge said of a run's students, in the roles of the paper's Table 14."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sitkit.report.cells import Measured
from sitkit.types import Json
from sitkit_paper.figures import Role

_ROLES: dict[tuple[str, str], Role] = {
    ("baseline", "direct"): "baseline",
    ("baseline", "cot"): "baseline_cot",
    ("instruct", "cot"): "instruct",
    ("refine", "cot"): "refine",
}


@dataclass(frozen=True, slots=True)
class Rated:
    """The mean rating, from 1 to 3 over n answers, of a student on a task it was trained on (or untrained)."""

    student: str
    teacher: str
    role: Role
    benchmark: str
    rating: Measured
    n: int


def ratings(judgement: Json) -> list[Rated]:
    """Return a judge's ratings, at the largest fraction of the demonstrations, where there are two or more.

    Ratings that are all the same leave a standard error of 0; it is taken as at least that of one point in n + 1.
    """
    rows = [row for row in judgement["ratings"] if row["benchmark"] is not None and row["n"] > 1]
    most = max((_fraction(row) for row in rows), default=1.0)
    found = []
    for row in rows:
        role = _ROLES.get((row["phase"], row["prompting"]))
        if role is None or not (role.startswith("baseline") or (_fraction(row) == most and _of_its_task(row))):
            continue
        error = max(float(row["stderr"] or 0.0), 1 / (row["n"] + 1))
        teacher = "" if role.startswith("baseline") else str(row.get("teacher") or "")
        found.append(
            Rated(str(row["student"]), teacher, role, row["benchmark"], Measured(row["mean"], error), row["n"])
        )
    return found


def _fraction(row: Json) -> float:
    return float(row.get("fraction") or 1.0)


def _of_its_task(row: Json) -> bool:
    trained: Sequence[str] = row.get("train_on") or ()
    if row["phase"] == "refine" and set(row.get("refine_on") or ()) != set(trained):
        return False
    return row["benchmark"] in trained
