"""The first thing a reader looks at: accuracy by phase, and whether a change is more than chance."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from sitkit.report.arms import BOTH, Arm, describe, rows_of
from sitkit.report.comparisons import Cell, Comparisons
from sitkit.report.page.html import Html, el, join
from sitkit.report.page.parts import (
    MINUS,
    accuracy,
    answers_link,
    details,
    difference,
    points,
    scrolled,
    section,
    tests,
)
from sitkit.report.summary import CellSummary, summarise
from sitkit.results.artifacts import place
from sitkit.types import PHASES, Json, Phase, Prompting

NOUNS: Mapping[str, str] = {"baseline": "baseline", "instruct": "instructed", "refine": "refined"}

_TRANSFERS = {"trained": "Trained tasks", "in-domain": "In domain, not trained", "out-of-domain": "Out of domain"}
_OPEN_ARMS = 4

_Key = tuple[str, str, str]


def headline(results: Json, found: Sequence[Arm], comparisons: Comparisons) -> Html:
    """Return the section: a few large numbers, then a table for each arm, the later ones folded away."""
    several = len(found) > 1
    blocks = [
        el(
            "div",
            el("h3", describe(arm, found)) if several else None,
            _arm(results, arm, comparisons, found),
            class_="block",
        )
        for arm in found
    ]
    if len(blocks) > _OPEN_ARMS:
        blocks = [details(f"All {len(found)} arms, each with its tests", *blocks)]
    return section("results", "Accuracy", _glance(results, found), _note(found), *blocks)


def _note(found: Sequence[Arm]) -> Html:
    seeds = max(len(arm.seeds) for arm in found) if found else 1
    over = f"; mean of {seeds} seeds, in brackets the standard deviation over them" if seeds > 1 else ""
    each = "; p is the largest of the seeds’" if seeds > 1 else ""
    return el(
        "p",
        f"Percent right ± standard error over questions{over}. Differences are in points between answers to the same"
        f" questions, in brackets the 95% interval of a paired bootstrap over questions; +a {MINUS}b: a questions went"
        f" from wrong to right, b from right to wrong; p: McNemar’s exact test{each}. A coloured difference is one"
        " that both agree on. A number links to the answers behind it; its title names their file.",
        class_="note",
    )


def _glance(results: Json, found: Sequence[Arm]) -> Html | None:
    most = max((arm.fraction for arm in found), default=1.0)
    groups: dict[str, list[dict[str, float]]] = {}
    for arm in found:
        if arm.method != BOTH or arm.crossed or arm.fraction != most:
            continue
        cells = {(one.phase, one.prompting, one.benchmark): one for one in summarise(rows_of(arm, results["scores"]))}
        for (phase, prompting, benchmark), cell in cells.items():
            if phase == "refine" and prompting == "cot":
                values = {
                    str(name): cells[name, "cot", benchmark].value
                    for name in PHASES
                    if (name, "cot", benchmark) in cells
                }
                groups.setdefault(cell.transfer, []).append(values)
    tiles = [_tile(_TRANSFERS[name], groups[name]) for name in _TRANSFERS if name in groups]
    return el("div", *tiles, class_="tiles") if tiles else None


def _tile(title: str, cells: Sequence[Mapping[str, float]]) -> Html:
    def mean(phase: str) -> float | None:
        values = [cell[phase] for cell in cells if phase in cell]
        return statistics.fmean(values) if len(values) == len(cells) else None

    means = [(NOUNS[phase], mean(phase)) for phase in PHASES]
    shown = [(name, value) for name, value in means if value is not None]
    steps = [
        el("span", el("b", f"{100 * value:.1f}"), el("small", name), class_=f"step {name}") for name, value in shown
    ]
    change = shown[-1][1] - shown[-2][1] if len(shown) > 1 else None
    return el(
        "div",
        el("p", title, class_="what"),
        el("p", *steps, class_="steps"),
        el(
            "p",
            f"{points(change)} points by refining" if change is not None else None,
            f"; mean of {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, with CoT",
            class_="note",
        ),
        class_="tile",
    )


def _arm(results: Json, arm: Arm, comparisons: Comparisons, found: Sequence[Arm]) -> Html:
    rows = rows_of(arm, results["scores"])
    cells: dict[_Key, CellSummary] = {(one.phase, one.prompting, one.benchmark): one for one in summarise(rows)}
    places: dict[_Key, dict[str, None]] = {}
    for row in rows:
        if row.get("key"):
            cell = (row["phase"], row["prompting"], row["benchmark"])
            places.setdefault(cell, {})[place("evaluate", row["key"])] = None
    table = _Grid(arm, found.index(arm), cells, {cell: tuple(own) for cell, own in places.items()}, comparisons)
    return join([table.draw("cot"), table.draw("direct")])


class _Grid:
    """One arm's table: a row for each benchmark, a column for each phase, and what changed from phase to phase."""

    def __init__(
        self,
        arm: Arm,
        number: int,
        cells: Mapping[_Key, CellSummary],
        places: Mapping[_Key, Sequence[str]],
        comparisons: Comparisons,
    ) -> None:
        self._arm, self._number, self._cells, self._places = arm, number, cells, places
        self._comparisons = comparisons

    def draw(self, prompting: Prompting) -> Html | None:
        phases: list[Phase] = [phase for phase in PHASES if any(key[:2] == (phase, prompting) for key in self._cells)]
        if not phases:
            return None
        steps = list(pairwise(phases))
        plain = prompting == "cot" and any(key[:2] == ("baseline", "direct") for key in self._cells)
        benchmarks = list(dict.fromkeys(benchmark for _, _, benchmark in self._cells))
        columns: list[tuple[Phase, Prompting]] = [("baseline", "direct")] if plain else []
        columns += [(phase, prompting) for phase in phases]
        caption = "With the trigger (CoT)" if prompting == "cot" else "Without the trigger (direct)"
        top = [
            el("th", "benchmark", scope="col"),
            *(el("th", self._heading(*column, plain=plain), scope="col", class_="n") for column in columns),
            *(join([
                el("th", f"{NOUNS[after]} {MINUS} {NOUNS[before]}", scope="col", class_="n"),
                el("th", "changed", scope="col", class_="n"),
                el("th", "p", scope="col", class_="n"),
            ]) for before, after in steps),
        ]  # fmt: skip
        body = [self._row(benchmark, columns, steps, prompting) for benchmark in benchmarks]
        drawn = el("table", el("caption", caption), el("thead", el("tr", *top)), el("tbody", *body), class_="headline")
        return scrolled(drawn, caption)

    def _row(
        self,
        benchmark: str,
        columns: Sequence[tuple[Phase, Prompting]],
        steps: Sequence[tuple[Phase, Phase]],
        prompting: Prompting,
    ) -> Html:
        last = self._cells.get((columns[-1][0], prompting, benchmark))
        compared = [
            self._comparisons.of(self._arm, benchmark, Cell(before, prompting), Cell(after, prompting))
            for before, after in steps
        ]
        name = el(
            "th",
            benchmark,
            el("small", f"{last.transfer}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{last.n}" if last is not None else ""),
            scope="row",
        )
        values = [
            accuracy(
                self._cells.get((*column, benchmark)),
                self._places.get((*column, benchmark), ()),
                self._link(benchmark, column) if self._places.get((*column, benchmark)) else None,
                strong=column[0] == "refine",
            )
            for column in columns
        ]
        return el("tr", name, *values, *(join([difference(one), tests(one)]) for one in compared))

    def _heading(self, phase: Phase, prompting: Prompting, *, plain: bool) -> Html:
        hint = el("small", "direct" if prompting == "direct" else "CoT") if plain and phase == "baseline" else None
        return join([NOUNS[phase], hint])

    def _link(self, benchmark: str, column: tuple[Phase, Prompting]) -> str:
        phase, prompting = column
        return answers_link(arm=f"{self._number}", benchmark=benchmark, prompting=prompting, phase=phase)
