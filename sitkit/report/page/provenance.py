"""How it was made: demonstrations and pairs, stages with their keys, the recipe, versions, the files behind numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sitkit.report.arms import Arm, arms, describe
from sitkit.report.page.html import Html, el, join
from sitkit.report.page.parts import details, plain_table, scrolled, section
from sitkit.report.tables import demonstration_table, stage_table, teacher_tables
from sitkit.results.artifacts import place
from sitkit.types import PHASES, Json

_ORIGINS = (
    ("chosen_from_student", "the student’s own answer", "instruct"), ("chosen_from_teacher", "the teacher’s", "other"),
    ("chosen_from_target", "the target", "cot"), ("left_out", "left out", "base"),
)  # fmt: skip

_DEPENDS_ON: Mapping[str, Sequence[str]] = {
    "student": PHASES, "teacher": PHASES[1:], "fraction": PHASES[1:], "method": PHASES[2:]
}  # fmt: skip
"""What tells the scores of several students apart, and the phases whose scores depend on it."""


def pairs(results: Json) -> Html:
    """Return where demonstrations and preference pairs came from."""
    found = arms(results)
    listed = results["pairs"].get("by_arm") or results["pairs"].get("by_seed") or []
    return section(
        "pairs",
        "Where the pairs came from",
        _pair_table(listed, found) if listed else el("p", "No student was refined, so there are no pairs."),
        el(
            "div",
            plain_table(demonstration_table(results), "demonstrations"),
            *(plain_table(table, f"teacher-{number}") for number, table in enumerate(teacher_tables(results))),
            class_="side",
        ),
    )


def _pair_table(listed: Sequence[Mapping[str, Json]], found: Sequence[Arm]) -> Html:
    origins = [one for one in _ORIGINS if any(row.get(one[0]) for row in listed)]
    legend = el(
        "p",
        *(el("span", el("i", class_=f"swatch {tone}"), label, " ") for _, label, tone in origins),
        class_="legend",
    )
    columns = ("pairs", "rejected although right", "student right, direct", "student right, CoT", "left out because")
    top = el(
        "tr",
        el("th", "student", scope="col"),
        el("th", "of the questions, chosen is …", scope="col"),
        *(el("th", one, scope="col", class_="n" if index < 4 else None) for index, one in enumerate(columns)),
        el("th", "file", scope="col"),
    )
    rows = [_pair_row(row, origins, _name(row, found)) for row in listed]
    note = (
        "A question gives a pair of a chosen and a rejected answer, or is left out. A rejected answer that was right"
        " teaches the student to avoid a right answer’s form, not its error."
    )
    table = scrolled(el("table", el("thead", top), el("tbody", *rows)), "Pairs by student")
    return el("div", el("p", note, class_="note"), legend, table, class_="block")


def _pair_row(row: Mapping[str, Json], origins: Sequence[tuple[str, str, str]], name: str) -> Html:
    questions = int(row["questions"]) or 1
    parts = [
        el(
            "i",
            class_=f"{tone}",
            style=f"width:{100 * int(row[field]) / questions:.2f}%",
            title=f"{row[field]}: {label}",
        )
        for field, label, tone in origins
        if row.get(field)
    ]
    said = "; ".join(f"{row[field]} {label}" for field, label, _ in origins if row.get(field))
    reasons = "; ".join(f"{reason} ({count})" for reason, count in row.get("left_out_reasons", {}).items())
    key = row.get("key")
    return el(
        "tr",
        el("th", name, scope="row"),
        el("td", el("span", *parts, class_="stack", role="img", aria_label=said), el("small", said)),
        el("td", row["total"], class_="n"),
        el("td", f"{row['rejected_correct']}", class_="n"),
        el("td", f"{100 * row['direct_correct'] / questions:.1f}%", class_="n"),
        el("td", f"{100 * row['cot_correct'] / questions:.1f}%", class_="n"),
        el("td", reasons or "–"),
        el("td", el("code", place("pair", key)) if key else "–", class_="file"),
    )


def _name(row: Mapping[str, Json], found: Sequence[Arm]) -> str:
    fields = ("student", "teacher", "fraction", "method")
    for arm in found:
        if row.get("train_on") is None:
            break
        tasks = (tuple(row["train_on"]), tuple(row["refine_on"]))
        if tasks == (arm.train_on, arm.refine_on) and all(row[field] == getattr(arm, field) for field in fields):
            return (f"{describe(arm, found)}, " if len(found) > 1 else "") + f"seed {row['seed']}"
    return f"seed {row.get('seed', 0)}"


def provenance(results: Json, recipe_yaml: str) -> Html:
    """Return stages, recipe, versions, and the table that traces each score to its file."""
    versions = el(
        "dl",
        *(join([el("dt", name), el("dd", value)]) for name, value in results["versions"].items()),
        class_="versions",
    )
    return section(
        "made",
        "How it was made",
        el(
            "p",
            "Paths are relative to the workspace; a stage’s folder is named by the first 20 digits of its key, the"
            " sha256 of everything that determines it. ",
            el("code", "sitkit run --config recipe.yaml"),
            " with the file beside this one repeats the run.",
            class_="note",
        ),
        _stages(results),
        details("The recipe, every setting resolved", el("pre", recipe_yaml, class_="code")),
        details("Versions", versions),
        _files(results["scores"]),
    )


def _stages(results: Json) -> Html:
    rows = [
        el(
            "tr",
            el("th", f"{one['stage']} {one['label']}".strip(), scope="row"),
            el("td", f"{one['seconds']:.1f}", class_="n"),
            el("td", "reused" if one["reused"] else "run"),
            el("td", el("code", place(one["stage"], one["key"]), title=one["key"]), class_="file"),
        )
        for one in results["stages"]
    ]
    headings = [("stage", None), ("seconds", "n"), ("", None), ("file", None)]
    top = el("tr", *(el("th", text, scope="col", class_=kind) for text, kind in headings))
    summary = stage_table(results).note
    return details(f"Stages: {summary}", scrolled(el("table", el("thead", top), el("tbody", *rows)), "Stages"))


def _files(scores: Sequence[Mapping[str, Json]]) -> Html | None:
    named = [row for row in scores if row.get("key")]
    if not named:
        return None
    telling = [name for name in _DEPENDS_ON if len({_told(row, name) for row in named} - {""}) > 1]
    rows = [
        el(
            "tr",
            el("th", f"{row['phase']}, {row['prompting']}", scope="row"),
            el("td", row["benchmark"]),
            el(
                "td",
                "; ".join(filter(None, (", ".join(row.get("train_on") or ()), ", ".join(row.get("refine_on") or ())))),
            ),
            *(el("td", _told(row, name)) for name in telling),
            el("td", row["seed"], class_="n"),
            el("td", f"{100 * row['value']:.2f}", class_="n"),
            el("td", row["n"], class_="n"),
            el("td", row["extraction_failures"], class_="n"),
            el("td", el("code", place("evaluate", row["key"]), title=row["key"]), class_="file"),
        )
        for row in named
    ]
    headings = (
        ("phase", None), ("benchmark", None), ("instructed on; refined on", None),
        *((name, None) for name in telling), ("seed", "n"),
        ("percent right", "n"), ("n", "n"), ("no answer read", "n"), ("file", None),
    )  # fmt: skip
    top = el("tr", *(el("th", text, scope="col", class_=kind) for text, kind in headings))
    return details("The file behind each score", scrolled(el("table", el("thead", top), el("tbody", *rows)), "Files"))


def _told(row: Mapping[str, Json], name: str) -> str:
    value = row.get(name) if row["phase"] in _DEPENDS_ON[name] else ""
    return f"{value:g}" if isinstance(value, float) else str(value or "")
