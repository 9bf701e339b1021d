"""The scores of a run that has several arms, a row each: what was done to the student, beside every benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sitkit.report.summary import CellSummary, summarise
from sitkit.types import PHASES, PROMPTINGS, Json, Phase, Prompting

Row = Mapping[str, Json]


@dataclass(frozen=True)
class Line:
    """What was done to a student until a phase, and its summary on each benchmark (over seeds)."""

    student: str
    teacher: str
    fraction: float
    train_on: tuple[str, ...]
    refine_on: tuple[str, ...]
    method: str
    phase: Phase
    prompting: Prompting
    cells: Mapping[str, CellSummary]

    def what(self) -> str:
        """Return the phase in words: baseline, instruct A, instruct A refine A, instruct A refine B (cross)."""
        if self.phase == "baseline":
            return "baseline"
        taught = f"instruct {'+'.join(self.train_on)}" if self.train_on else ""
        if self.phase == "instruct":
            return taught
        crossed = " (cross)" if self.train_on and set(self.train_on) != set(self.refine_on) else ""
        return " ".join(word for word in (taught, f"refine {'+'.join(self.refine_on)}{crossed}") if word)


def has_arms(results: Json) -> bool:
    """Whether seeds alone do not tell the run's arms apart."""
    names = ("student", "teacher", "train_on", "refine_on", "fraction", "method")
    return len({tuple(str(arm[name]) for name in names) for arm in results.get("arms", ())}) > 1


def lines(results: Json) -> list[Line]:
    """Return one line per arm, phase and prompting, in the order of the run."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in results["scores"]:
        groups.setdefault(_identity(row), []).append(row)
    found = []
    for rows in groups.values():
        first = rows[0]
        found.append(
            Line(
                student=str(first["student"]),
                teacher=str(first["teacher"]),
                fraction=float(first["fraction"]),
                train_on=tuple(first["train_on"]),
                refine_on=tuple(first["refine_on"]),
                method=str(first["method"]),
                phase=first["phase"],
                prompting=first["prompting"],
                cells={cell.benchmark: cell for cell in summarise(rows)},
            )
        )
    return sorted(found, key=lambda line: (PHASES.index(line.phase) > 0, PROMPTINGS.index(line.prompting)))


def _identity(row: Row) -> tuple[object, ...]:
    lists = (tuple(row["train_on"]), tuple(row["refine_on"]))
    method = row["method"] if row["phase"] == "refine" else ""
    return (row["student"], row["teacher"], row["fraction"], *lists, method, row["phase"], row["prompting"])
