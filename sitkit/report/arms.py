"""The arms of a run: what was taught to whom and how, each with its seeds, and which scores belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sitkit.types import Json

Row = Mapping[str, Json]

BOTH = "both"
INSTRUCT = "instruct"
REFINE = "refine"

_METHODS = {BOTH: "instruct and refine", INSTRUCT: "instruct only", REFINE: "refine only"}


@dataclass(frozen=True)
class Arm:
    """One student taught in one way. ``runs`` are the entries of ``results["arms"]``, one a seed, with their keys.

    ``method`` is "both", or "instruct" or "refine" where only that was done. ``runs`` is empty for results that name
    no artifacts; it does not count when arms are compared.
    """

    student: str
    teacher: str
    strategy: str
    train_on: tuple[str, ...]
    refine_on: tuple[str, ...]
    fraction: float
    method: str
    seeds: tuple[int, ...]
    runs: tuple[Json, ...] = field(default=(), compare=False)

    @property
    def crossed(self) -> bool:
        """Whether it was refined on other tasks than it was instructed on (cross self-refine, section 4.3)."""
        return bool(self.train_on and self.refine_on) and set(self.train_on) != set(self.refine_on)

    @property
    def setting(self) -> tuple[str, str, str]:
        """Student, teacher and strategy."""
        return self.student, self.teacher, self.strategy


def arms(results: Json) -> list[Arm]:
    """Return the arms in the order of the results, the seeds of one arm together."""
    listed = results.get("arms")
    if listed:
        return _merged((_arm(one), one) for one in listed)
    rows = [row for row in results["scores"] if row["phase"] == "refine"] or results["scores"]
    return _merged((_arm({"method": BOTH, **row}), None) for row in rows)


def _arm(one: Row) -> Arm:
    return Arm(
        student=str(one.get("student") or ""),
        teacher=str(one.get("teacher") or ""),
        strategy=str(one.get("strategy") or ""),
        train_on=tuple(one.get("train_on") or ()),
        refine_on=tuple(one.get("refine_on") or ()),
        fraction=float(one.get("fraction") or 1.0),
        method=str(one.get("method") or BOTH),
        seeds=(int(one.get("seed", 0)),),
    )


def _merged(found: Iterable[tuple[Arm, Json]]) -> list[Arm]:
    merged: dict[Arm, Arm] = {}
    for one, entry in found:
        identity = replace(one, seeds=())
        known = merged.get(identity, identity)
        seeds = tuple(dict.fromkeys((*known.seeds, *one.seeds)))
        runs = known.runs if entry is None else (*known.runs, entry)
        merged[identity] = replace(known, seeds=seeds, runs=runs)
    return list(merged.values())


def rows_of(arm: Arm, rows: Sequence[Row]) -> list[Row]:
    """Return the scores of an arm's own phases and of the phases before them, which it may share with others."""
    return [row for row in rows if _belongs(arm, row)]


def _belongs(arm: Arm, row: Row) -> bool:
    if row.get("student", arm.student) != arm.student or row["seed"] not in arm.seeds:
        return False
    if row["phase"] == "baseline":
        return True
    if not (_fits(row.get("train_on"), arm.train_on) and _fits(row.get("refine_on"), arm.refine_on)):
        return False
    if _differs(row, arm, "teacher") or float(row.get("fraction") or arm.fraction) != arm.fraction:
        return False
    method = row.get("method") or BOTH
    if row["phase"] == "instruct":
        return method != REFINE and arm.method != REFINE
    return method == arm.method and not _differs(row, arm, "strategy")


def _fits(given: Sequence[str] | None, own: tuple[str, ...]) -> bool:
    # A row that names no task belongs to every arm: its phase came before the arms part.
    return not given or tuple(given) == own


def _differs(row: Row, arm: Arm, name: str) -> bool:
    given = row.get(name)
    return bool(given) and given != getattr(arm, name)


def describe(arm: Arm, among: Sequence[Arm]) -> str:
    """Return a few words that tell an arm from the others."""
    parts = []
    if len({(one.teacher, one.student) for one in among}) > 1:
        parts.append(f"{arm.teacher} → {arm.student}" if arm.teacher else arm.student)
    if len({one.strategy for one in among if one.strategy}) > 1:
        parts.append(arm.strategy)
    if len({(one.train_on or one.refine_on, one.refine_on or one.train_on) for one in among}) > 1:
        parts.append(_tasks(arm))
    if len({one.method for one in among}) > 1:
        parts.append(_METHODS.get(arm.method, arm.method))
    if len({one.fraction for one in among}) > 1:
        parts.append(f"{100 * arm.fraction:g}% of the demonstrations")
    return ", ".join(parts) or _tasks(arm)


def _tasks(arm: Arm) -> str:
    train, refine = ", ".join(arm.train_on), ", ".join(arm.refine_on)
    if arm.crossed:
        return f"instructed on {train}, refined on {refine}"
    return f"trained on {train or refine}"


def is_matrix(group: Sequence[Arm]) -> bool:
    """Whether the arms train on single tasks, and on more than one of them."""
    trained = {one.train_on for one in group if one.method == BOTH}
    return len(trained) > 1 and all(len(tasks) == 1 for tasks in trained)


def is_low_resource(group: Sequence[Arm]) -> bool:
    """Whether the arms differ in the share of demonstrations used, or in which phases were done."""
    return len({one.fraction for one in group}) > 1 or len({one.method for one in group}) > 1


def by_setting(found: Sequence[Arm]) -> dict[tuple[str, str, str], list[Arm]]:
    """Return the arms by student, teacher and strategy, in order."""
    groups: dict[tuple[str, str, str], list[Arm]] = {}
    for one in found:
        groups.setdefault(one.setting, []).append(one)
    return groups
