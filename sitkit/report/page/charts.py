"""The sections of figures: bars by phase, accuracy against the share of demonstrations, what training logged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sitkit.report.arms import BOTH, INSTRUCT, REFINE, Arm, by_setting, describe, is_low_resource, rows_of
from sitkit.report.figures.bars import Bar, bars
from sitkit.report.figures.curves import Curve, Point, low_resource, training
from sitkit.report.figures.style import end_of_axis
from sitkit.report.page.html import Html, el
from sitkit.report.page.parts import scrolled, section
from sitkit.report.page.shelf import FigureSet
from sitkit.report.summary import CellSummary, summarise
from sitkit.results.artifacts import Stored, place
from sitkit.types import Json
from sitkit_paper.names import family

_MOST_PANELS = 12
_WITH = {
    ("baseline", "direct"): "baseline, direct", ("baseline", "cot"): "baseline",
    ("instruct", "cot"): "instructed", ("refine", "cot"): "refined",
}  # fmt: skip
_WITHOUT = {("baseline", "direct"): "baseline", ("instruct", "direct"): "instructed", ("refine", "direct"): "refined"}


def phases(results: Json, found: Sequence[Arm], shelf: FigureSet) -> Html | None:
    """Return a panel of bars for each way a student was taught; crosses are left to the matrix."""
    most = max((arm.fraction for arm in found), default=1.0)
    wanted = [arm for arm in found if arm.method == BOTH and not arm.crossed and arm.fraction == most]
    shown = wanted[:_MOST_PANELS]
    if not shown:
        return None
    highest = _highest(results, shown)
    panels = [_bars(results, arm, found, shelf, f"phases-{number}", _WITH, highest) for number, arm in enumerate(shown)]
    if len(shown) == 1:
        panels.append(_bars(results, shown[0], found, shelf, "phases-direct", _WITHOUT, highest))
    left = f" {len(wanted) - len(shown)} more are left to the tables." if len(shown) < len(wanted) else ""
    several = len({(arm.teacher, arm.student) for arm in found}) > 1
    kin = " Families are told by the models’ names." if several else ""
    note = f"Whiskers: standard error over questions, or deviation over seeds where that is larger.{kin}{left}"
    return section("phases", "Phase by phase", el("p", note, class_="note"), el("div", *panels, class_="panels"))


def _bars(
    results: Json,
    arm: Arm,
    found: Sequence[Arm],
    shelf: FigureSet,
    name: str,
    wanted: Mapping[tuple[str, str], str],
    highest: float,
) -> Html:
    values: dict[str, dict[str, Bar]] = {}
    for one in summarise(rows_of(arm, results["scores"])):
        series = wanted.get((one.phase, one.prompting))
        if series is not None:
            values.setdefault(one.benchmark, {})[series] = Bar(one.value, _whisker(one))
    prompting = "cot" if wanted is _WITH else "direct"
    teacher = {
        str(row["benchmark"]): float(row["value"])
        for row in results.get("teacher_accuracy", ())
        if row["teacher"] == arm.teacher and row["split"] == "test" and row["prompting"] == prompting
    }
    teacher = {name: value for name, value in teacher.items() if name in values}
    caption = describe(arm, found)
    if len({(one.teacher, one.student) for one in found}) > 1:
        caption += _kin(arm)
    caption += ", with the trigger (CoT)" if prompting == "cot" else ", without the trigger (direct)"
    return shelf.picture(name, caption, bars(values, list(values), teacher, highest=highest, name=name))


def _highest(results: Json, shown: Sequence[Arm]) -> float:
    cells = [cell for arm in shown for cell in summarise(rows_of(arm, results["scores"]))]
    return end_of_axis(cell.value + _whisker(cell) for cell in cells)


def _kin(arm: Arm) -> str:
    """The paper's in-family and out-family, where the names tell."""
    teacher, student = family(arm.teacher), family(arm.student)
    if teacher is None or student is None:
        return ""
    return " (in-family)" if teacher == student else " (out-family)"


def _whisker(cell: CellSummary) -> float:
    return max(cell.stderr, cell.deviation or 0.0)


def low(results: Json, found: Sequence[Arm], shelf: FigureSet) -> Html | None:
    """Return a panel of curves for each benchmark, where the share of demonstrations or the phases differ."""
    panels: list[Html] = []
    for setting, group in by_setting(found).items():
        by_tasks: dict[tuple[str, ...], list[Arm]] = {}
        for arm in group:
            by_tasks.setdefault(arm.train_on or arm.refine_on, []).append(arm)
        for tasks, alike in by_tasks.items():
            if is_low_resource(alike):
                heading = f"{setting[1]} → {setting[0]}, {', '.join(tasks)}: "
                several = len(by_tasks) > 1 or len(by_setting(found)) > 1
                panels += _curves(results, alike, shelf, heading if several else "", len(panels))
    if not panels:
        return None
    note = (
        "Accuracy with the trigger against the share of the teacher’s demonstrations (nested random subsets)."
        " Whiskers: standard error over questions, or deviation over seeds where that is larger."
    )
    return section(
        "low", "With fewer demonstrations", el("p", note, class_="note"), el("div", *panels, class_="panels")
    )


def _curves(results: Json, alike: Sequence[Arm], shelf: FigureSet, heading: str, first: int) -> list[Html]:
    points: dict[str, dict[str, dict[float, Point]]] = {}
    baseline: dict[str, float] = {}
    for arm in alike:
        for one in summarise(rows_of(arm, results["scores"])):
            if one.prompting != "cot":
                continue
            if one.phase == "baseline":
                baseline[one.benchmark] = one.value
            method = _method(arm, one.phase)
            if method is not None:
                point = Point(arm.fraction, one.value, _whisker(one))
                points.setdefault(one.benchmark, {}).setdefault(method, {})[arm.fraction] = point
    panels = []
    highest = _highest(results, alike)
    for number, (benchmark, methods) in enumerate(points.items(), first):
        name, caption = f"demonstrations-{number}", f"{heading}{benchmark}"
        drawn = {method: list(at.values()) for method, at in methods.items()}
        made = low_resource(drawn, baseline.get(benchmark), heading=caption, highest=highest, name=name)
        panels.append(shelf.picture(name, caption, made, titled=True))
    return panels


def _method(arm: Arm, phase: str) -> str | None:
    # What an arm of both phases has after the first is what instructing alone gives.
    if phase == "instruct":
        return INSTRUCT
    if phase == "refine":
        return REFINE if arm.method == REFINE else BOTH
    return None


_HELD_OUT = ("eval_loss", "held out", "other")
_CURVES = (
    ("instruct", "Instruction-tuning: loss", "loss", (("loss", "training", "instruct"), _HELD_OUT)),
    ("refine", "Refining: loss", "loss", (("loss", "training", "refine"), _HELD_OUT)),
    ("refine", "Refining: implicit reward", "reward",
     (("rewards/chosen", "chosen", "instruct"), ("rewards/rejected", "rejected", "refine"))),
    ("refine", "Refining: log-probability", "nats",
     (("logps/chosen", "chosen", "instruct"), ("logps/rejected", "rejected", "refine"))),
)  # fmt: skip


def curves(results: Json, stored: Stored, shelf: FigureSet) -> Html:
    """Return the training curves, and a table of what each training step reported."""
    logs = {row["key"]: (row["stage"], stored.rows(row["stage"], row["key"]) or []) for row in results["training"]}
    panels = []
    for number, (stage, heading, unit, series) in enumerate(_CURVES):
        found = [curve for own, log in logs.values() if own == stage for curve in _logged(log, series)]
        if found:
            name = f"training-{number}"
            made = training(found, heading=heading, unit=unit, name=name)
            lines = len({key for key, (own, _) in logs.items() if own == stage})
            panels.append(shelf.picture(name, f"{heading}, {lines} training {'run' if lines == 1 else 'runs'}", made))
    return section("training", "Training", el("div", *panels, class_="panels"), _steps(results))


def _logged(log: Sequence[Mapping[str, Json]], series: Sequence[tuple[str, str, str]]) -> list[Curve]:
    found = []
    for field, label, tone in series:
        rows = [(float(row["step"]), float(row[field])) for row in log if field in row and "step" in row]
        if rows:
            found.append(Curve(label, tone, [step for step, _ in rows], [value for _, value in rows]))
    return found


def _steps(results: Json) -> Html:
    shown = ("first_loss", "last_loss", "best_step", "held_out", "chosen_logp_shift")
    names = [name for name in shown if any(name in row["metrics"] for row in results["training"])]
    top = el(
        "tr",
        el("th", "training", scope="col"),
        *(
            el("th", one, scope="col", class_="n")
            for one in ("examples", "steps", *(re.sub("_", " ", name) for name in names))
        ),
        el("th", "log", scope="col"),
    )
    rows = [
        el(
            "tr",
            el("th", f"{row['stage']} {row['label']}".strip(), scope="row"),
            el("td", row.get("pairs", row.get("demonstrations", "")), class_="n"),
            el("td", row["steps"], class_="n"),
            *(el("td", _number(row["metrics"].get(name)), class_="n") for name in names),
            el("td", el("code", place(row["stage"], row["key"])), class_="file"),
        )
        for row in results["training"]
    ]
    return scrolled(el("table", el("thead", top), el("tbody", *rows)), "What each training reported")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"
