"""report.md: the tables, what a reader must be told, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sitkit.report.judgements import judgement_tables
from sitkit.report.lines import has_arms
from sitkit.report.tables import Table, all_tables
from sitkit.report.warnings import remarks
from sitkit.results.artifacts import Stored
from sitkit.results.choose import picking
from sitkit.types import Json
from sitkit_paper.beside import paper_tables
from sitkit_paper.verdicts import claim_table, claims


def markdown(results: Json, name: str, judgements: Sequence[Json] = (), stored: Stored | None = None) -> str:
    """Return the report of a run as Markdown, with what judges said of it if there is any."""
    recipe = results["recipe"]
    parts = [f"# {name}", "", _sentence(recipe), ""]
    said = remarks(results, stored)
    if said:
        parts += ["## To know first", "", *(f"- {_escape(text)}" for text in said), ""]
    for table in (*all_tables(results), *_ratings(judgements), *_beside_the_paper(results, judgements)):
        parts += _table(table)
    parts += [
        "## Repeat it",
        "",
        "`sitkit run --config recipe.yaml` with the file beside this one. Versions: "
        + ", ".join(f"{package} {version}" for package, version in results["versions"].items())
        + ".",
        "",
        *_plain_lm_eval(results, name),
    ]
    return "\n".join(parts)


def _ratings(judgements: Sequence[Json]) -> list[Table]:
    return [table for one in judgements for table in judgement_tables(one)]


def _beside_the_paper(results: Json, judgements: Sequence[Json]) -> list[Table]:
    tables = list(paper_tables(results, judgements))
    return [*tables, claim_table(claims(results, judgements))] if tables else []


def _plain_lm_eval(results: Json, name: str) -> list[str]:
    """How to get a score of this run from plain lm-eval: the very task, answer length, data and seed."""
    recipe = results["recipe"]
    refined = next((arm for arm in results.get("arms", ()) if arm["refine"]), None)
    length = recipe["set"].get("evaluate", {}).get("max_new_tokens")
    # Several students that decide their settings differently leave the answers' length out of the recipe.
    if not results["tasks"] or refined is None or length is None:
        return []
    benchmark, tasks = next(iter(results["tasks"].items()))
    metadata = {"seed": refined["seed"]} | ({"data_dir": recipe["data_dir"]} if recipe["data_dir"] else {})
    limited = f" --limit {recipe['test_limit']}" if recipe["test_limit"] else ""
    return [
        f"{'The first' if has_arms(results) else 'The'} refined student's accuracy on {benchmark}, seed"
        f" {refined['seed']}, from plain lm-eval (add"
        " `--apply_chat_template` for a model that has one):",
        "",
        "```",
        f"sitkit export {name} ./student --merge{picking(results, refined)}",
        f"lm_eval --model hf --model_args pretrained=./student,dtype=float32 --tasks {tasks['cot']} \\",
        f'  --include_path "$(sitkit tasks path {benchmark})" --gen_kwargs max_gen_toks={length} \\',
        f"  --metadata '{json.dumps(metadata)}'{limited}",
        "```",
        "",
    ]


def _sentence(recipe: Json) -> str:
    refined = recipe["refine_on"] or recipe["train_on"]
    each = "each of " if recipe.get("cross") else ""
    return (
        f"Student {_listed(recipe['student'])}, taught by {_listed(recipe['teacher'])} on {each}"
        f"{', '.join(recipe['train_on'])}, refined by `{recipe['strategy']}` on {each}{', '.join(refined)};"
        f" seed{'s' if len(recipe['seeds']) > 1 else ''} {', '.join(map(str, recipe['seeds']))},"
        f" fraction {_plain(recipe['fraction'])}, training limit {recipe['limit'] or 'none'},"
        f" test limit {recipe['test_limit'] or 'none'}."
    )


def _listed(value: Json) -> str:
    return ", ".join(f"`{one}`" for one in (value if isinstance(value, list) else [value]))


def _plain(value: Json) -> str:
    return ", ".join(f"{one:g}" for one in (value if isinstance(value, list) else [value]))


def _table(table: Table) -> list[str]:
    lines = [f"## {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines.append("| " + " | ".join(_escape(heading) for heading in table.headings) + " |")
    lines.append("|" + "---|" * len(table.headings))
    lines += ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in table.rows]
    return [*lines, ""]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
