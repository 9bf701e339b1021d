"""What the page's templates get: its sections as plain values, every number printed once, here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlencode

from markupsafe import Markup

from sitkit.report.figures import MOST_PANELS, Drawing, arms_by_phase
from sitkit.report.matrix import BASELINE, Grid, Matrix, Square, matrices
from sitkit.report.page.answers import Packed, arm_id, fullest, index
from sitkit.report.tables import (
    ReportSection,
    Table,
    demonstration_table,
    gain_table,
    stage_table,
    teacher_tables,
    worked_table,
)
from sitkit.results.arms import describe
from sitkit.results.artifacts import place
from sitkit.results.model import Arm, Cell, Change, PairedTest, Pairs, Results, floored
from sitkit.types import PHASES, Phase, Prompting

MINUS = "\N{MINUS SIGN}"
NOUNS: Mapping[Phase, str] = {"baseline": "baseline", "instruct": "instructed", "refine": "refined"}

_TRANSFERS = {"trained": "Trained tasks", "in-domain": "In domain, not trained", "out-of-domain": "Out of domain"}
_CAPTIONS: Mapping[Prompting, str] = {"cot": "With CoT", "direct": "Direct"}
_OPEN_ARMS = 4
_MARKS = {"trained": "■", "in-domain": "◆", "out-of-domain": ""}
_FULL_RANGE = 0.3
_ORIGINS = (
    ("student", "the student’s own answer", "instruct"), ("teacher", "the teacher’s", "other"),
    ("target", "the target", "cot"), ("left out", "left out", "base"),
)  # fmt: skip
_METRICS = ("first_loss", "last_loss", "best_step", "held_out", "chosen_logp_shift")

_Place = tuple[Phase, Prompting, str]


@dataclass(frozen=True)
class Section:
    """A section of the page: the template that draws it, and what that template gets."""

    anchor: str
    title: str
    template: str
    content: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """A cell's numbers in percent as text, the link to its answers, and the files they lie in."""

    value: str
    error: str
    deviation: str | None
    link: str
    files: str
    strong: bool


@dataclass(frozen=True)
class Difference:
    """A paired test as text: points and their interval, questions gained and lost, the p-value."""

    points: str
    interval: str
    tone: str
    gained: str
    lost: str
    p: str
    p_of_seeds: str


@dataclass(frozen=True)
class MapCell:
    """One square of a heat map: its text, how strong its colour is (0..1), and its classes."""

    text: str = ""
    classes: str = "blank"
    level: str = "0"
    mark: str = ""
    relation: str = ""
    link: str = ""
    title: str = ""


def page_sections(
    results: Results,
    *,
    warnings: Sequence[str],
    drawn: Sequence[tuple[Drawing, str]],
    packed: Packed,
    missing: Mapping[str, str],
    ratings: Sequence[Table],
    added: Sequence[ReportSection],
) -> list[Section]:
    """Return the sections in order; ``drawn`` are the figures as SVG, ``missing`` says what could not be had and why,
    ``added`` come from plugins.
    """
    sections = [
        *([Section("warnings", "Read this first", "warnings.html", {"warnings": warnings})] if warnings else []),
        *_matrix(results),
        *_panels("low", "With fewer demonstrations", drawn, "Accuracy with CoT against the share of the teacher’s"
                 f" demonstrations (nested random subsets). {_WHISKERS}"),
        _headline(results),
        *_panels("phases", "Phase by phase", drawn, _WHISKERS + _left_out(results)),
        _answers(results, packed, missing),
        *_gains(results),
        _pairs(results),
        _training(results, drawn),
        *_tables("ratings", "Rated by judges", "", ratings),
        *(section for own in added for section in _tables(own.anchor, own.title, own.note, own.tables)),
        _made(results),
    ]  # fmt: skip
    return _apart(sections)


_WHISKERS = "Whiskers: standard error over questions, or standard deviation over seeds where that is larger."


def facts(results: Results) -> list[tuple[str, str]]:
    """Return what was done, for the top of the page."""
    recipe, arms = results.recipe, results.arms
    return [
        ("student", _listed(arm.student for arm in arms)),
        ("teacher", _listed(arm.teacher for arm in arms)),
        ("strategy", _listed(arm.strategy for arm in arms)),
        ("trained on", _listed(task for arm in arms for task in (*arm.train_on, *arm.refine_on))),
        ("tested on", _listed(results.benchmarks)),
        ("seeds", _listed(str(seed) for arm in arms for seed in arm.seeds)),
        ("training limit", str(recipe.get("limit") or "none")),
        ("test limit", str(recipe.get("test_limit") or "none")),
    ]


def points(value: float) -> str:
    """Return a difference of shares in percentage points with its sign."""
    # Adding 0 makes a rounded -0.0 a plain 0.
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", MINUS)


def difference(test: PairedTest | None) -> Difference | None:
    """Return a paired test as text; of several seeds' p-values the largest is told."""
    if test is None:
        return None
    # Resampling questions of which none changed would give an interval of no width, as if 0 were certain.
    interval = f"[{points(test.low)}, {points(test.high)}]" if test.low is not None and test.high is not None else ""
    several, p = len(test.p) > 1, max(test.p)
    return Difference(
        points=points(test.difference),
        interval=interval if test.gained + test.lost else "",
        tone=("up" if test.difference > 0 else "down") if test.certain else "",
        gained=f"+{test.gained}",
        lost=f"{MINUS}{test.lost}",
        p=("≤ " if several and 0.001 <= p < 0.995 else "") + _probability(p),
        p_of_seeds="seeds: " + ", ".join(map(_probability, test.p)) if several else "",
    )


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}" if p < 0.995 else "1"


def answers_link(arm: Arm, cell: Cell) -> str:
    """Return a link that opens the answers behind a cell."""
    choice = {"arm": arm_id(arm), "benchmark": cell.benchmark, "prompting": cell.prompting, "phase": cell.phase}
    return "#answers?" + urlencode(choice, errors="replace")


def _files(cell: Cell) -> str:
    return "\n".join(place("evaluate", key) for key in cell.keys)


def _headline(results: Results) -> Section:
    arms = results.arms
    changes = {tuple(map(id, results.ends(change))): change for change in results.changes}
    blocks = []
    for arm in arms:
        cells: dict[_Place, Cell] = {
            (cell.phase, cell.prompting, cell.benchmark): cell for cell in results.cells_of(arm)
        }
        grids = [grid for prompting in _CAPTIONS if (grid := _grid(arm, cells, prompting, changes)) is not None]
        blocks.append({"title": describe(arm, arms) if len(arms) > 1 else "", "grids": grids})
    seeds = max((len(arm.seeds) for arm in arms), default=1)
    content = {
        "tiles": _tiles(results), "blocks": blocks, "arms": len(blocks), "folded": len(blocks) > _OPEN_ARMS,
        "seeds": seeds,
    }  # fmt: skip
    return Section("results", "Accuracy", "results.html", content)


def _grid(
    arm: Arm, cells: Mapping[_Place, Cell], prompting: Prompting, changes: Mapping[tuple[int, ...], Change]
) -> dict[str, object] | None:
    """One table of an arm: a row for each benchmark, a column for each phase, and what changed from phase to phase.

    ``changes`` are found by the ids of both cells.
    """
    phases: list[Phase] = [phase for phase in PHASES if any(place[:2] == (phase, prompting) for place in cells)]
    if not phases:
        return None
    columns: list[tuple[Phase, Prompting]] = [(phase, prompting) for phase in phases]
    hinted = prompting == "cot" and any(place[:2] == ("baseline", "direct") for place in cells)
    if hinted:
        columns.insert(0, ("baseline", "direct"))
    rows = []
    for benchmark in dict.fromkeys(benchmark for _, _, benchmark in cells):
        own = [cells.get((phase, prompting, benchmark)) for phase in phases]
        between = [changes.get((id(before), id(after))) for before, after in pairwise(own)]
        last = own[-1]
        rows.append(
            {
                "name": benchmark,
                "about": "" if last is None else f"{last.transfer}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{last.n}",
                "cells": [_accuracy(arm, cells.get((*column, benchmark))) for column in columns],
                "steps": [difference(None if change is None else change.paired) for change in between],
            }
        )
    return {
        "caption": _CAPTIONS[prompting],
        "columns": [
            (NOUNS[phase], {"direct": "direct", "cot": "CoT"}[of] if hinted and phase == "baseline" else "")
            for phase, of in columns
        ],
        "steps": [f"{NOUNS[after]} {MINUS} {NOUNS[before]}" for before, after in pairwise(phases)],
        "rows": rows,
    }


def _accuracy(arm: Arm, cell: Cell | None) -> Accuracy | None:
    if cell is None:
        return None
    return Accuracy(
        value=f"{100 * cell.value:.1f}",
        error=f"± {100 * cell.over_questions:.1f}",
        deviation=None if cell.deviation is None else f"({100 * cell.deviation:.1f})",
        link=answers_link(arm, cell),
        files=_files(cell),
        strong=cell.phase == "refine",
    )


def _tiles(results: Results) -> list[dict[str, object]]:
    """The large numbers: means with CoT over the benchmarks trained on, of the same domain, and of another."""
    taught = {(score.teacher, score.benchmark): (score.value, floored(score.stderr, score.value, score.n))
              for score in results.teacher_scores if (score.split, score.prompting) == ("test", "cot")}  # fmt: skip
    groups: dict[str, list[tuple[Arm, dict[Phase, Cell]]]] = {}
    for arm in arms_by_phase(results):
        by_benchmark: dict[str, dict[Phase, Cell]] = {}
        for cell in results.cells_of(arm):
            if cell.prompting == "cot":
                by_benchmark.setdefault(cell.benchmark, {})[cell.phase] = cell
        for phases in by_benchmark.values():
            if "refine" in phases:
                groups.setdefault(phases["refine"].transfer, []).append((arm, phases))
    tiles: list[dict[str, object]] = []
    for transfer, title in _TRANSFERS.items():
        own = groups.get(transfer, [])
        if not own:
            continue
        means = [
            (
                NOUNS[phase],
                _mean([(cells[phase].benchmark, cells[phase].value, _floor(cells[phase])) for _, cells in own]),
            )
            for phase in PHASES
            if all(phase in cells for _, cells in own)
        ]
        teachers = [
            (cells["refine"].benchmark, taught.get((arm.teacher, cells["refine"].benchmark))) for arm, cells in own
        ]
        gain = points(means[-1][1][0] - means[-2][1][0]) if len(means) > 1 else ""
        if all(score is not None for _, score in teachers):
            means.append(("teacher", _mean([(name, *score) for name, score in teachers if score is not None])))
        tiles.append(
            {
                "title": title,
                "steps": [(noun, f"{100 * value:.1f}", f"± {100 * error:.1f}") for noun, (value, error) in means],
                "gain": gain,
                "count": f"mean of {len(own)} {'cell' if len(own) == 1 else 'cells'}, with CoT",
                "teacher": _listed(arm.teacher for arm, _ in own),
            }
        )
    return tiles


def _floor(cell: Cell) -> float:
    return floored(cell.over_questions, cell.value, cell.n)


def _mean(shares: Sequence[tuple[str, float, float]]) -> tuple[float, float]:
    """The mean of (benchmark, share, standard error over questions), and its standard error over questions.

    Students share a benchmark's questions, so their errors add up; those of different benchmarks are independent.
    """
    errors: dict[str, float] = {}
    for benchmark, _, error in shares:
        errors[benchmark] = errors.get(benchmark, 0.0) + error
    return statistics.fmean(share for _, share, _ in shares), math.hypot(*errors.values()) / len(shares)


def _matrix(results: Results) -> list[Section]:
    found = matrices(results)
    blocks = [
        {
            "title": f"{matrix.setting[1]} → {matrix.setting[0]}, {matrix.setting[2]}" if len(found) > 1 else "",
            "only": f"{matrix.fraction:g}" if matrix.partial else "",
            "maps": _maps(matrix),
        }
        for matrix in found
    ]
    content = {"blocks": blocks, "marks": _MARKS}
    return [Section("matrix", "From task to task", "matrix.html", content)] if blocks else []


def _maps(matrix: Matrix) -> list[dict[str, object]]:
    def heat(title: str, grid: Grid, baseline: Grid | None = None) -> dict[str, object]:
        def drawn(own: Grid, row: str, *, marked: bool = True) -> dict[str, MapCell]:
            return {
                column: _square(square, f"{100 * value:.1f}", value / matrix.highest, "heat", relation, marked=marked)
                for column in matrix.columns
                if (square := own.get((row, column))) is not None
                for value, relation in [(square.cell.value, matrix.relation(row, column))]
            }

        rows = [(row, drawn(grid, row)) for row in matrix.rows]
        return _map(matrix, title, rows, drawn(baseline or {}, BASELINE, marked=False))

    def gains(title: str, after: Grid, before: Grid) -> dict[str, object]:
        rows = []
        for row in matrix.rows:
            cells = {}
            for column in matrix.columns:
                if (row, column) in after and (row, column) in before:
                    change = after[row, column].cell.value - before[row, column].cell.value
                    relation = matrix.relation(row, column)
                    cells[column] = _square(
                        after[row, column], points(change), change / _FULL_RANGE, "gain", relation, marked=True
                    )
            rows.append((row, cells))
        return _map(matrix, title, rows, {})

    maps = [heat("Instructed", matrix.instructed, matrix.baseline), heat("Self-refined", matrix.refined)]
    maps += [heat("Cross self-refined", matrix.crossed)] if matrix.crossed else []
    maps += [gains("Self-refined less instructed, in points", matrix.refined, matrix.instructed)]
    maps += [gains("Cross less self-refined, in points", matrix.crossed, matrix.refined)] if matrix.crossed else []
    return maps


def _square(square: Square, text: str, level: float, kind: str, relation: str, *, marked: bool) -> MapCell:
    level = max(-1.0, min(1.0, level))
    cell = square.cell
    return MapCell(
        text=text,
        classes=f"{kind} {'down' if level < 0 else 'up'} {relation if marked else ''}",
        level=f"{abs(level):.3f}",
        mark=_MARKS.get(relation, "") if marked else "",
        relation=relation if marked else "",
        link=answers_link(square.arm, cell),
        title=f"{text} ± {100 * cell.over_questions:.1f}\n{relation}\n{_files(cell)}",
    )


def _map(
    matrix: Matrix, title: str, rows: Sequence[tuple[str, Mapping[str, MapCell]]], extra: Mapping[str, MapCell]
) -> dict[str, object]:
    def parted(tasks: Sequence[str]) -> list[bool]:
        domains = [matrix.domains.get(task, "") for task in tasks]
        return [at > 0 and domains[at] != domains[at - 1] for at in range(len(tasks))]

    columns = list(zip(matrix.columns, parted(matrix.columns), strict=True))

    def cells(own: Mapping[str, MapCell]) -> list[tuple[MapCell, bool]]:
        return [(own.get(column, MapCell()), border) for column, border in columns]

    return {
        "title": title,
        "columns": columns,
        "rows": [
            (row, border, cells(own)) for (row, own), border in zip(rows, parted(matrix.rows), strict=True)
        ],
        "extra": cells(extra) if extra else [],
    }  # fmt: skip


def _panels(name: str, title: str, drawn: Sequence[tuple[Drawing, str]], note: str) -> list[Section]:
    pictures = _pictures(name, drawn)
    return [Section(name, title, "figures.html", {"note": note, "pictures": pictures})] if pictures else []


def _pictures(name: str, drawn: Sequence[tuple[Drawing, str]]) -> list[dict[str, object]]:
    return [
        {
            "svg": Markup(svg),
            "label": drawing.caption,
            "caption": "" if drawing.titled else drawing.caption,
            "file": f"figures/{drawing.name}.svg",
        }
        for drawing, svg in drawn
        if drawing.section == name
    ]


def _left_out(results: Results) -> str:
    more = len(arms_by_phase(results)) - MOST_PANELS
    return f" {more} more are left to the tables." if more > 0 else ""


def _answers(results: Results, packed: Packed, missing: Mapping[str, str]) -> Section:
    data = {
        "arms": index(results), "start": fullest(results), "files": packed.files, "leftOut": packed.left_out
    }  # fmt: skip
    content = {"missing": missing, "index": data, "chunks": packed.content}
    return Section("answers", "The answers", "answers.html", content)


def _gains(results: Results) -> list[Section]:
    # These two are of one student; of several they would make a mean of what does not belong together.
    if len(results.arms) != 1 or results.arms[0].method != "both":
        return []
    tables = [_table(gain_table(results), "gain"), _table(worked_table(results), "worked")]
    return [Section("gains", "What gains are made of", "tables.html", {"tables": tables, "note": "", "beside": True})]


def _tables(anchor: str, title: str, note: str, tables: Sequence[Table]) -> list[Section]:
    shown = [_table(table, f"{anchor}-{number}") for number, table in enumerate(tables) if table.rows]
    return [Section(anchor, title, "tables.html", {"note": note, "tables": shown, "beside": False})] if shown else []


def _table(table: Table, anchor: str) -> dict[str, object]:
    """A table of texts; columns of numbers are set right."""
    kinds = [
        "n" if table.rows and all(_is_number(row[at]) for row in table.rows if row[at] not in ("", "-")) else ""
        for at in range(len(table.headings))
    ]
    return {
        "anchor": anchor,
        "title": table.title,
        "note": table.note,
        "headings": list(zip(table.headings, ["", *kinds[1:]], strict=True)),
        "rows": [(row[0], list(zip(row[1:], kinds[1:], strict=True))) for row in table.rows],
    }


def _is_number(text: str) -> bool:
    return text.lstrip("+-" + MINUS)[:1].isdigit()


def _pairs(results: Results) -> Section:
    origins = [origin for origin in _ORIGINS if any(_origin(pairs, origin[0]) for pairs in results.pairs)]
    tables = [_table(demonstration_table(results), "demonstrations")]
    tables += [_table(table, f"teacher-{number}") for number, table in enumerate(teacher_tables(results))]
    content = {
        "origins": [(label, tone) for _, label, tone in origins],
        "rows": [_pair_row(results, pairs, origins) for pairs in results.pairs],
        "tables": tables,
    }
    return Section("pairs", "Where the pairs came from", "pairs.html", content)


def _origin(pairs: Pairs, name: str) -> int:
    if name == "left out":
        return pairs.left_out
    return next((count for origin, count in pairs.chosen_from.items() if origin == name), 0)


def _pair_row(results: Results, pairs: Pairs, origins: Sequence[tuple[str, str, str]]) -> dict[str, object]:
    questions = pairs.questions or 1
    counts = [(_origin(pairs, name), label, tone) for name, label, tone in origins if _origin(pairs, name)]
    names = [
        (f"{describe(arm, results.arms)}, " if len(results.arms) > 1 else "") + f"seed {lesson.seed}"
        for arm in results.arms
        for lesson in arm.lessons
        if lesson.pair == pairs.key
    ]
    return {
        "name": "; ".join(names) or pairs.label,
        "parts": [(tone, f"{100 * count / questions:.2f}", f"{count}: {label}") for count, label, tone in counts],
        "counts": "; ".join(f"{count} {label}" for count, label, _ in counts),
        "numbers": (
            f"{pairs.total}",
            f"{pairs.rejected_correct}",
            f"{100 * pairs.direct_correct / questions:.1f}%",
            f"{100 * pairs.cot_correct / questions:.1f}%",
        ),
        "reasons": "; ".join(f"{reason} ({count})" for reason, count in pairs.left_out_reasons.items()) or "–",
        "file": place("pair", pairs.key),
    }


def _training(results: Results, drawn: Sequence[tuple[Drawing, str]]) -> Section:
    names = [name for name in _METRICS if any(name in run.metrics for run in results.training)]
    rows = [
        {
            "name": f"{run.stage} {run.label}".strip(),
            "numbers": (
                run.examples,
                run.steps,
                *(f"{run.metrics[name]:.4g}" if name in run.metrics else "–" for name in names),
            ),
            "file": place(run.stage, run.key),
        }
        for run in results.training
    ]
    headings = ("examples", "steps", *(name.replace("_", " ") for name in names))
    content = {"pictures": _pictures("training", drawn), "headings": headings, "rows": rows}
    return Section("training", "Training", "training.html", content)


def _made(results: Results) -> Section:
    import yaml

    content = {
        "summary": stage_table(results).note,
        "stages": [
            {
                "name": stage.title,
                "seconds": f"{stage.seconds:.1f}",
                "how": "reused" if stage.reused else "run",
                "file": place(stage.stage, stage.key),
                "key": stage.key,
            }
            for stage in results.stages
        ],
        "recipe": yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True),
        "versions": list(results.versions.items()),
        **_score_files(results),
    }
    return Section("made", "How it was made", "made.html", content)


def _score_files(results: Results) -> dict[str, object]:
    """The file behind each score, a row for each seed of each cell, with what tells the students apart."""

    def told(cell: Cell, name: str) -> str:
        value = "" if name == "fraction" and cell.phase == "baseline" else getattr(cell, name)
        return f"{value:g}" if isinstance(value, float) else str(value)

    fields = ("student", "teacher", "fraction", "method")
    telling = [name for name in fields if len({told(cell, name) for cell in results.cells} - {""}) > 1]
    rows = [
        {
            "phase": f"{cell.phase}, {cell.prompting}",
            "texts": (
                cell.benchmark,
                "; ".join(filter(None, (", ".join(cell.train_on), ", ".join(cell.refine_on)))),
                *(told(cell, name) for name in telling),
            ),
            "numbers": (score.seed, f"{100 * score.value:.2f}", score.n, score.unread),
            "file": place("evaluate", score.key),
            "key": score.key,
        }
        for cell in results.cells
        for score in cell.seeds
    ]
    return {"telling": telling, "scores": rows}


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value)) or "none"


def _apart(sections: Sequence[Section]) -> list[Section]:
    """The sections with an anchor each of its own: a plugin's may be one that the page has."""
    taken: set[str] = set()
    found = []
    for section in sections:
        anchor = section.anchor
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        found.append(Section(anchor, section.title, section.template, section.content))
    return found
