"""Two runs side by side: what differs in their recipes, each cell of both, and the paired test where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sitkit.registry import Registry
from sitkit.results.files import load_results, workspace_of
from sitkit.results.model import Cell, PairedTest, Results, SeedScore
from sitkit.results.rows import StoredRows
from sitkit.results.significance import compare, holm
from sitkit.types import PHASES, PROMPTINGS, Json, Phase

_ARM = ("student", "teacher", "strategy", "fraction", "train_on", "refine_on", "method")
_DEPENDS_ON: Mapping[Phase, tuple[str, ...]] = {
    "baseline": ("student",),
    "instruct": ("student", "teacher", "fraction", "train_on"),
    "refine": _ARM,
}
"""What of an arm a phase depends on: a baseline has no teacher, an instructed student nothing it was refined on."""

_Place = tuple[tuple[str, ...], str, str, str]


@dataclass(frozen=True)
class Run:
    """A run as it is compared: its folder, its results, and how to read what it stored."""

    folder: Path
    results: Results
    stored: StoredRows

    @classmethod
    def load(cls, folder: Path, registry: Registry | None = None) -> Run:
        """Read a run's folder, ``WORKSPACE/runs/NAME``. Raises `RunNotFoundError` if its results cannot be read."""
        return cls(folder, load_results(folder, registry), StoredRows(workspace_of(folder)))


@dataclass(frozen=True)
class Difference:
    """Something the recipes or the versions do not agree on, as text; "-" where one does not say it."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class ComparedCell:
    """One cell of both runs. ``arm`` names what tells it from the cells of other arms, in the order of `Compared.arm`.

    ``difference`` is the second minus the first: over the questions both answered where there is a ``paired`` test,
    else between the accuracies. ``paired`` is None where predictions are gone, and where both runs share the very
    stages (``same``). ``holm`` is the test's p-value (the largest of the seeds') with Holm's correction over all tests
    of the comparison.
    """

    arm: tuple[str, ...]
    first: Cell
    second: Cell
    difference: float
    paired: PairedTest | None
    same: bool
    holm: float | None = None


@dataclass(frozen=True)
class Compared:
    """Two runs side by side. ``only_first`` and ``only_second`` count the cells that the other has not.

    ``unread`` names files that are gone or damaged, with the reason.
    """

    recipe: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    arm: tuple[str, ...]
    cells: tuple[ComparedCell, ...]
    only_first: int
    only_second: int
    unread: tuple[str, ...]


def compare_runs(first: Run, second: Run) -> Compared:
    """Compare two runs.

    Cells are matched by phase, prompting and benchmark, and by whatever tells arms apart within one of the runs; what
    is one thing in each run, such as the strategy, may differ between them: that is what is compared.
    """
    arm = tuple(name for name in _ARM if any(_varies(name, run.results.cells) for run in (first, second)))
    ours, theirs = ({_place(cell, arm): cell for cell in run.results.cells} for run in (first, second))
    cells = [_compared(place[0], (first, ours[place]), (second, theirs[place])) for place in ours if place in theirs]
    return Compared(
        recipe=differences(first.results.recipe, second.results.recipe),
        versions=differences(first.results.versions, second.results.versions),
        arm=arm,
        cells=tuple(sorted(_corrected(cells), key=_order)),
        only_first=len(ours.keys() - theirs.keys()),
        only_second=len(theirs.keys() - ours.keys()),
        unread=tuple(
            f"{run.stored.workspace / path}: {reason}"
            for run in (first, second)
            for path, reason in run.stored.unread.items()
        ),
    )


def _corrected(cells: Sequence[ComparedCell]) -> list[ComparedCell]:
    p = iter(holm([max(cell.paired.p) for cell in cells if cell.paired is not None]))
    return [cell if cell.paired is None else replace(cell, holm=next(p)) for cell in cells]


def differences(first: Json, second: Json) -> tuple[Difference, ...]:
    """Return what two mappings do not agree on; inner ones are named with dots: ``set.refine.beta``."""
    ours, theirs = _flat(first), _flat(second)
    return tuple(
        Difference(name, ours.get(name, "-"), theirs.get(name, "-"))
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    )


def _flat(value: Json, name: str = "") -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {name: _text(value)}
    found: dict[str, str] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{name}.{key}" if name else str(key))
    return found


def _text(value: Json) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "none" if value is None else str(value)


def _values(cell: Cell) -> dict[str, str]:
    return {name: _text(getattr(cell, name)) for name in _DEPENDS_ON[cell.phase]}


def _varies(name: str, cells: Sequence[Cell]) -> bool:
    return len({values[name] for values in map(_values, cells) if name in values}) > 1


def _place(cell: Cell, arm: Sequence[str]) -> _Place:
    values = _values(cell)
    return tuple(values.get(name, "") for name in arm), cell.phase, cell.prompting, cell.benchmark


def _compared(arm: tuple[str, ...], first: tuple[Run, Cell], second: tuple[Run, Cell]) -> ComparedCell:
    (run, cell), (other_run, other) = first, second
    same = cell.keys == other.keys
    paired = None
    if not same:
        prompting = cell.prompting
        pairs = paired_seeds(cell, other)
        paired = compare(
            [(run.stored.correct(a.key, prompting), other_run.stored.correct(b.key, prompting)) for a, b in pairs]
        )  # fmt: skip
    difference = other.value - cell.value if paired is None else paired.difference
    return ComparedCell(arm, cell, other, difference, paired, same)


def paired_seeds(first: Cell, second: Cell) -> list[tuple[SeedScore, SeedScore]]:
    """Return the scores to pair: those of the seeds both have, or in their order where they share none."""
    theirs = {score.seed: score for score in second.seeds}
    shared = [(score, theirs[score.seed]) for score in first.seeds if score.seed in theirs]
    return shared or list(zip(first.seeds, second.seeds, strict=False))


def _order(cell: ComparedCell) -> tuple[object, ...]:
    return (cell.arm, PHASES.index(cell.first.phase), PROMPTINGS.index(cell.first.prompting))
