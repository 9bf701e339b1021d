"""report.md: the tables, what a reader must be told, and how to repeat it."""

from __future__ import annotations

from sitkit.report.remarks import remarks
from sitkit.report.tables import Table, all_tables
from sitkit.types import Json


def markdown(results: Json, name: str) -> str:
    """Return the report of a run as Markdown."""
    recipe = results["recipe"]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in results["scores"])) or ["NAME"]
    length = recipe["set"].get("evaluate", {}).get("max_new_tokens", 512)
    limited = f" --limit {recipe['test_limit']}" if recipe["test_limit"] else ""
    parts = [f"# {name}", "", _sentence(recipe), ""]
    said = remarks(results)
    if said:
        parts += ["## To know first", "", *(f"- {_escape(text)}" for text in said), ""]
    for table in all_tables(results):
        parts += _table(table)
    parts += [
        "## Repeat it",
        "",
        "`sitkit run --config recipe.yaml` with the file beside this one. Versions: "
        + ", ".join(f"{package} {version}" for package, version in results["versions"].items())
        + ".",
        "",
        "The same accuracy from plain lm-eval (for a model with a chat template add `--apply_chat_template`):",
        "",
        "```",
        f"sitkit export {name} ./student --merge",
        'lm_eval --model hf --model_args pretrained=./student,dtype=float32 --include_path "$(sitkit tasks path)" \\',
        f"  --tasks sit_{benchmarks[0]}_cot --gen_kwargs max_gen_toks={length}{limited}",
        "```",
        "",
    ]
    return "\n".join(parts)


def _sentence(recipe: Json) -> str:
    refined = recipe["refine_on"] or recipe["train_on"]
    return (
        f"Student `{recipe['student']}`, taught by `{recipe['teacher']}` on {', '.join(recipe['train_on'])}, refined by"
        f" `{recipe['strategy']}` on {', '.join(refined)};"
        f" seed{'s' if len(recipe['seeds']) > 1 else ''} {', '.join(map(str, recipe['seeds']))},"
        f" fraction {recipe['fraction']:g}, training limit {recipe['limit'] or 'none'},"
        f" test limit {recipe['test_limit'] or 'none'}."
    )


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
