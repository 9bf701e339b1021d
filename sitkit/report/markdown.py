"""report.md: the tables, what a reader must be told, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from sitkit.report.tables import NOUNS, ReportSection, Table, all_tables
from sitkit.report.warnings import warnings_of
from sitkit.results.arms import picking, refines
from sitkit.results.model import Results
from sitkit.types import Json


def markdown(
    results: Results,
    name: str,
    ratings: Sequence[Table] = (),
    sections: Sequence[ReportSection] = (),
    problems: Sequence[str] = (),
) -> str:
    """Return the report of a run as Markdown, with the judges' ``ratings`` and the plugins' ``sections``.

    ``problems`` say which plugin's section is missing, and why."""
    parts = [f"# {name}", "", _sentence(results), ""]
    warnings = [*warnings_of(results), *problems]
    if warnings:
        parts += ["## Read this first", "", *(f"- {_escape(text)}" for text in warnings), ""]
    tables = [*all_tables(results), *ratings]
    for table in tables:
        parts += _table(table)
    for section in sections:
        parts += [f"## {_escape(section.title)}", "", *([_escape(section.note), ""] if section.note else [])]
        parts += [line for table in section.tables if table.rows for line in _table(table, "###")]
    versions = ", ".join(f"{package} {version}" for package, version in results.versions.items())
    parts += [
        "## Repeat it",
        "",
        f"`sitkit run --config recipe.yaml` with the file beside this one. Versions: {versions}.",
        "",
        *_plain_lm_eval(results, name),
    ]
    return "\n".join(parts)


def _plain_lm_eval(results: Results, name: str) -> list[str]:
    """How to get a score of this run from plain lm-eval: the very task, answer length, data and seed."""
    recipe = results.recipe
    phase: Literal["instruct", "refine"] = "refine" if refines(results.arms) else "instruct"
    scored = next((arm for arm in results.arms if getattr(arm.lessons[0], phase)), None)
    length = recipe["set"].get("evaluate", {}).get("max_new_tokens")
    # Several students that decide their settings differently leave the answers' length out of the recipe.
    if not results.tasks or scored is None or length is None:
        return []
    benchmark, tasks = next(iter(results.tasks.items()))
    seed = scored.lessons[0].seed
    metadata = {"seed": seed} | ({"data_dir": recipe["data_dir"]} if recipe["data_dir"] else {})
    own = benchmark in (recipe.get("questions") or ())
    limited = f" --limit {recipe['test_limit']}" if recipe["test_limit"] else ""
    # The tasks of own questions are written into the export.
    place = "./student/tasks" if own else f'"$(sitkit tasks path {benchmark})"'
    asked = limited if own else f" \\\n  --metadata '{json.dumps(metadata)}'{limited}"
    return [
        f"{'The first' if len(results.arms) > 1 else 'The'} {NOUNS[phase]} student's accuracy on {benchmark}, seed"
        f" {seed}, from plain lm-eval (add `--apply_chat_template` for a model that has one):",
        "",
        "```",
        f"sitkit export {name} ./student --merge{'' if phase == 'refine' else ' --phase instruct'}"
        f"{picking(results, scored, phase)}",
        f"lm_eval --model hf --model_args pretrained=./student,dtype=float32 --tasks {tasks['cot']} \\",
        f"  --include_path {place} --gen_kwargs max_gen_toks={length}{asked}",
        "```",
        "",
    ]


def _sentence(results: Results) -> str:
    recipe = results.recipe
    refined = recipe["refine_on"] or recipe["train_on"]
    each = "each of " if recipe["cross"] else ""
    strategies = _listed(recipe.get("strategies") or recipe["strategy"])
    refining = f"refined by {strategies} on {each}{', '.join(refined)}" if refines(results.arms) else "not refined"
    return (
        f"Student {_listed(recipe['student'])}, taught by {_listed(recipe['teacher'])} on {each}"
        f"{', '.join(recipe['train_on'])}, {refining};"
        f" seed{'s' if len(recipe['seeds']) > 1 else ''} {', '.join(map(str, recipe['seeds']))},"
        f" fraction {_plain(recipe['fraction'])}, training limit {recipe['limit'] or 'none'},"
        f" test limit {recipe['test_limit'] or 'none'}."
    )


def _listed(value: Json) -> str:
    return ", ".join(f"`{one}`" for one in (value if isinstance(value, list) else [value]))


def _plain(value: Json) -> str:
    return ", ".join(f"{one:g}" for one in (value if isinstance(value, list) else [value]))


def _table(table: Table, level: str = "##") -> list[str]:
    lines = [f"{level} {_escape(table.title)}", ""]
    if table.note:
        lines += [table.note, ""]
    lines.append("| " + " | ".join(_escape(heading) for heading in table.headings) + " |")
    lines.append("|" + "---|" * len(table.headings))
    lines += ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in table.rows]
    return [*lines, ""]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
