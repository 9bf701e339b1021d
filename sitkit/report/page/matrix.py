"""The matrix as heat maps (the paper's Tables 1, 10 and 11): a row for the training task, a column for the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.arms import BOTH, Arm, by_setting, is_matrix, rows_of
from sitkit.report.figures.heatmap import heatmap
from sitkit.report.page.html import Html, el, join
from sitkit.report.page.parts import answers_link, points, scrolled, section
from sitkit.report.page.shelf import FigureSet
from sitkit.report.summary import CellSummary, summarise
from sitkit.results.artifacts import place
from sitkit.types import Json, Phase

_MARKS = {"trained": "■", "in-domain": "◆", "out-of-domain": ""}
_FULL_RANGE = 0.3


@dataclass(frozen=True)
class Square:
    """One cell of a heat map: its value and error, how column and row relate, and where it comes from."""

    value: float
    stderr: float
    relation: str
    link: str
    files: tuple[str, ...]


Grid = Mapping[tuple[str, str], Square]


def matrix(results: Json, found: Sequence[Arm], shelf: FigureSet) -> Html | None:
    """Return the section, or None where nothing is a matrix. The heat maps are also drawn as files."""
    blocks = []
    groups = [(setting, group) for setting, group in by_setting(found).items() if is_matrix(group)]
    for number, (setting, group) in enumerate(groups):
        most = max(arm.fraction for arm in group)
        whole = [arm for arm in group if arm.fraction == most and arm.method == BOTH]
        heading = el("h3", f"{setting[1]} → {setting[0]}, {setting[2]}") if len(groups) > 1 else None
        others = {arm.fraction for arm in group} - {most}
        only = el("p", f"Of the fractions, {most:g} is drawn; the accuracy tables have the rest.") if others else None
        blocks.append(el("div", heading, only, _maps(results, whole, found, shelf, f"matrix-{number}"), class_="block"))
    if not blocks:
        return None
    note = (
        "Percent right with the trigger; the row is the task trained on, the column the task tested on."
        f" {_MARKS['trained']} the same task (the diagonal), {_MARKS['in-domain']} another task of the same domain, no"
        " mark: out of domain; lines part the domains. The stronger the colour, the higher, from 0 to the highest of"
        " the maps. Cross: instructed on the row’s task, refined on the column’s, tested on the column’s. A number"
        " links to the answers behind it."
    )
    return section("matrix", "From task to task", el("p", note, class_="note"), *blocks)


def _maps(results: Json, whole: Sequence[Arm], found: Sequence[Arm], shelf: FigureSet, name: str) -> Html:
    rows = results["scores"]
    own = {arm.train_on[0]: arm for arm in whole if not arm.crossed}
    crossed = {(arm.train_on[0], arm.refine_on[0]): arm for arm in whole if arm.crossed and len(arm.refine_on) == 1}
    domains = {str(row["benchmark"]): str(row["domain"]) for row in rows}
    columns = sorted(domains, key=lambda one: list(dict.fromkeys(domains.values())).index(domains[one]))
    trained = [one for one in columns if one in {arm.train_on[0] for arm in whole}]
    trained += [arm.train_on[0] for arm in whole if arm.train_on[0] not in trained]
    trained = list(dict.fromkeys(trained))

    def relation(row: str, column: str) -> str:
        if row == column:
            return "trained"
        return "in-domain" if domains.get(row) == domains.get(column) else "out-of-domain"

    def squares(arms: Mapping[tuple[str, str], Arm], phase: Phase) -> dict[tuple[str, str], Square]:
        summaries = {id(arm): _summaries(rows_of(arm, rows), phase) for arm in arms.values()}
        return {
            cell: _square(summaries[id(arm)][cell[1]], arm, phase, rows, found, relation(*cell))
            for cell, arm in arms.items()
            if cell[1] in summaries[id(arm)]
        }

    each = {(task, column): arm for task, arm in own.items() for column in columns}
    anyone = {arm.train_on[0]: arm for arm in whole} | own
    instructed = squares({(task, column): anyone[task] for task in trained for column in columns}, "instruct")
    refined, cross = squares(each, "refine"), squares(crossed, "refine")
    before = squares({("baseline", column): whole[0] for column in columns}, "baseline")
    highest = max((one.value for grid in (instructed, refined, cross, before) for one in grid.values()), default=1.0)
    draw = _Drawer(columns, domains, highest or 1.0)
    panels = [
        draw.heat("Instructed", instructed, trained, baseline=before),
        draw.heat("Self-refined", refined, trained),
        draw.heat("Cross self-refined", cross, trained) if cross else None,
        draw.gains("Self-refined less instructed, in points", refined, instructed, trained),
        draw.gains("Cross less self-refined, in points", cross, refined, trained) if cross else None,
    ]
    for title, grid in (("instructed", instructed), ("self-refined", refined), ("cross-self-refined", cross)):
        if grid:
            _draw_file(grid, trained, columns, title, shelf, f"{name}-{title}")
    return el("div", *panels, class_="maps")


def _summaries(rows: Sequence[Mapping[str, Json]], phase: Phase) -> dict[str, CellSummary]:
    return {one.benchmark: one for one in summarise(rows) if one.phase == phase and one.prompting == "cot"}


def _square(
    cell: CellSummary, arm: Arm, phase: Phase, rows: Sequence[Mapping[str, Json]], found: Sequence[Arm], relation: str
) -> Square:
    keys = [
        row["key"]
        for row in rows_of(arm, rows)
        if row.get("key") and (row["phase"], row["prompting"], row["benchmark"]) == (phase, "cot", cell.benchmark)
    ]
    link = answers_link(arm=found.index(arm), benchmark=cell.benchmark, prompting="cot", phase=phase)
    return Square(cell.value, cell.stderr, relation, link, tuple(place("evaluate", key) for key in keys))


def _draw_file(
    grid: Grid, rows: Sequence[str], columns: Sequence[str], title: str, shelf: FigureSet, name: str
) -> None:
    shelf.keep(
        name,
        heatmap(
            {cell: one.value for cell, one in grid.items()},
            {cell: one.relation for cell, one in grid.items()},
            rows,
            columns,
            heading=title,
            name=name,
        ),
    )


class _Drawer:
    """Draws heat maps that share their columns."""

    def __init__(self, columns: Sequence[str], domains: Mapping[str, str], highest: float) -> None:
        self._columns, self._domains, self._highest = columns, domains, highest

    def heat(self, title: str, grid: Grid, rows: Sequence[str], baseline: Grid | None = None) -> Html:
        def cell(one: Square) -> tuple[str, float]:
            return f"{100 * one.value:.1f}", one.value / self._highest

        extra = self._row("baseline", baseline or {}, cell, kind="heat", marked=False) if baseline else None
        return self._table(title, [self._row(row, grid, cell, kind="heat", above=above) for row, above in
                                   self._with_borders(rows)], extra)  # fmt: skip

    def gains(self, title: str, after: Grid, before: Grid, rows: Sequence[str]) -> Html:
        changes: dict[tuple[str, str], float] = {}
        for (row, column), one in after.items():
            earlier = before.get((row, column))
            if earlier is not None:
                changes[row, column] = one.value - earlier.value

        def drawn(row: str, above: bool) -> Html:
            def cell(one: Square) -> tuple[str, float]:
                change = next(value for key, value in changes.items() if after[key] is one)
                return points(change), change / _FULL_RANGE

            kept = {key: one for key, one in after.items() if key in changes}
            return self._row(row, kept, cell, kind="gain", above=above)

        return self._table(title, [drawn(row, above) for row, above in self._with_borders(rows)], None)

    def _table(self, title: str, rows: Sequence[Html], extra: Html | None) -> Html:
        top = el("tr", el("th", "train \\ test", scope="col"), *(
            el("th", one, scope="col", class_=self._border(index)) for index, one in enumerate(self._columns)
        ))  # fmt: skip
        body = [el("tbody", *rows), el("tbody", extra, class_="extra") if extra else None]
        table = el("table", el("caption", title), el("thead", top), *body, class_="map")
        return scrolled(table, title)

    def _row(
        self,
        row: str,
        grid: Grid,
        cell: Callable[[Square], tuple[str, float]],
        *,
        kind: str,
        above: bool = False,
        marked: bool = True,
    ) -> Html:
        cells = []
        for index, column in enumerate(self._columns):
            one, border = grid.get((row, column)), self._border(index) or ""
            if one is None:
                cells.append(el("td", class_=f"blank {border}"))
                continue
            text, level = cell(one)
            level = max(-1.0, min(1.0, level))
            title = f"{text} ± {100 * one.stderr:.1f}\n{one.relation}\n" + "\n".join(one.files)
            mark = _MARKS.get(one.relation, "") if marked else ""
            sign = "down" if level < 0 else "up"
            content = el("a", text, el("sup", mark, aria_hidden="true") if mark else None, href=one.link, title=title)
            cells.append(
                el("td", content, el("span", f", {one.relation}", class_="sr") if marked else None,
                   class_=f"{kind} {sign} {one.relation if marked else ''} {border}", style=f"--v:{abs(level):.3f}")
            )  # fmt: skip
        return el("tr", el("th", row, scope="row"), join(cells), class_="parted" if above else None)

    def _border(self, index: int) -> str | None:
        if index and self._domains[self._columns[index]] != self._domains[self._columns[index - 1]]:
            return "parted"
        return None

    def _with_borders(self, rows: Sequence[str]) -> list[tuple[str, bool]]:
        domains = [self._domains.get(row, "") for row in rows]
        return [(row, index > 0 and domains[index] != domains[index - 1]) for index, row in enumerate(rows)]
