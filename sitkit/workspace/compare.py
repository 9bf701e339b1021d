"""Two runs side by side: what differs in their recipes, each cell of both, and the paired test where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.report.cells import Row, ScoredCell, collect
from sitkit.report.one_arm import ARM, DEPENDS_ON
from sitkit.report.results import load_results
from sitkit.results.artifacts import Stored
from sitkit.results.significance import Comparison, compare
from sitkit.store import Store
from sitkit.types import PHASES, PROMPTINGS, Json

Values = Mapping[str, str]
_Place = tuple[tuple[str, ...], str, str, str]


@dataclass(frozen=True)
class Run:
    """A run as it is compared: its folder, its results, and how to read what it stored."""

    folder: Path
    results: Json
    stored: Stored

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a run's folder, ``WORKSPACE/runs/NAME``. Raises `RunNotFoundError` if its results cannot be read."""
        return cls(folder, load_results(folder), Stored(Store.of_run(folder).workspace))


@dataclass(frozen=True)
class Difference:
    """Something the recipes or the versions do not agree on, as text; "-" where one does not say it."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class ComparedCell:
    """One cell of both runs. ``arm`` names what tells it from the cells of other arms, in the order of `Compared.arm`.

    ``paired`` is the second minus the first over the questions both answered, None where predictions are gone;
    ``same``: both runs share the very stage.
    """

    arm: tuple[str, ...]
    first: ScoredCell
    second: ScoredCell
    paired: Comparison | None
    same: bool


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
    arm = tuple(name for name in ARM if any(_varies(name, run.results["scores"]) for run in (first, second)))
    one, other = _places(first.results["scores"], arm), _places(second.results["scores"], arm)
    cells = [_cell(place, (first, one[place]), (second, other[place])) for place in one if place in other]
    return Compared(
        recipe=differences(first.results["recipe"], second.results["recipe"]),
        versions=differences(first.results["versions"], second.results["versions"]),
        arm=arm,
        cells=tuple(sorted(cells, key=_order)),
        only_first=len(one.keys() - other.keys()),
        only_second=len(other.keys() - one.keys()),
        unread=tuple(
            f"{run.stored.workspace / path}: {reason}"
            for run in (first, second)
            for path, reason in run.stored.unread.items()
        ),
    )


def differences(first: Json, second: Json) -> tuple[Difference, ...]:
    """Return what two mappings do not agree on; inner ones are named with dots: ``set.refine.beta``."""
    one, other = _flat(first), _flat(second)
    return tuple(
        Difference(name, one.get(name, "-"), other.get(name, "-"))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
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
        return ", ".join(str(one) for one in value)
    return "none" if value is None else str(value)


def _values(row: Row) -> Values:
    # What a phase does not depend on says nothing of its cells: a baseline has no teacher.
    return {name: _text(row.get(name, "")) for name in DEPENDS_ON[str(row["phase"])]}


def _varies(name: str, rows: Sequence[Row]) -> bool:
    return len({values[name] for values in map(_values, rows) if name in values}) > 1


def _places(rows: Sequence[Row], arm: Sequence[str]) -> dict[_Place, list[Row]]:
    found: dict[_Place, list[Row]] = {}
    for row in rows:
        values = _values(row)
        place = (
            tuple(values.get(name, "") for name in arm),
            str(row["phase"]), str(row["prompting"]), str(row["benchmark"]),
        )  # fmt: skip
        found.setdefault(place, []).append(row)
    return found


def _cell(place: _Place, first: tuple[Run, Sequence[Row]], second: tuple[Run, Sequence[Row]]) -> ComparedCell:
    (one, one_rows), (other, other_rows) = first, second
    pairs = _paired_rows(one_rows, other_rows)
    prompting = place[2]
    seeds = [
        (one.stored.correct(before).get(prompting, {}), other.stored.correct(after).get(prompting, {}))
        for before, after in pairs
    ]
    return ComparedCell(
        arm=place[0],
        first=collect(one_rows)[0],
        second=collect(other_rows)[0],
        paired=compare(seeds) if seeds else None,
        same=bool(pairs) and all(before == after for before, after in pairs),
    )


def _paired_rows(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[str, str]]:
    """The keys of the stages to pair: those of the seeds both have, or in their order where they share none."""
    one = {int(row["seed"]): str(row["key"]) for row in first if row.get("key")}
    other = {int(row["seed"]): str(row["key"]) for row in second if row.get("key")}
    shared = [seed for seed in one if seed in other]
    if shared:
        return [(one[seed], other[seed]) for seed in shared]
    return list(zip(one.values(), other.values(), strict=False))


def _order(cell: ComparedCell) -> tuple[object, ...]:
    return (cell.arm, PHASES.index(cell.first.phase), PROMPTINGS.index(cell.first.prompting))
