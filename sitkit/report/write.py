"""Write a run's folder: recipe.yaml, results.json, report.md, report.html with its figures."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from sitkit.errors import RunNotFoundError
from sitkit.execution.walk import Outcome
from sitkit.plan import Plan
from sitkit.recipe import SCHEMA, Recipe, recipe_schema, recipe_yaml
from sitkit.registry import Registry
from sitkit.report.judgements import load_judgements
from sitkit.report.markdown import markdown
from sitkit.report.page import write_page
from sitkit.report.results import RECIPE, REPORT, RESULTS, load_results, make_results
from sitkit.report.warnings import find_remarks
from sitkit.results.artifacts import Stored
from sitkit.store import disk_errors, write_atomically
from sitkit.types import Json


def write_run(folder: Path, plan: Plan, outcome: Outcome, workspace: Path, registry: Registry) -> dict[str, Json]:
    """Write the files and return the results. Raises `StoreError` if the folder cannot be written."""
    recipe = plan.full_recipe()
    before = None
    with contextlib.suppress(RunNotFoundError):
        before = load_results(folder)
    results = make_results(plan, outcome, before)
    if before is not None and "remarks" in before and _same(before, results):
        # Nothing has changed, and the tests behind the remarks take longer than all else a finished run does.
        results["remarks"] = before["remarks"]
    else:
        results["remarks"] = find_remarks(results, Stored(workspace))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_recipe(folder, recipe, workspace)
        write_atomically(folder / RESULTS, json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        text = markdown(results, folder.name, load_judgements(folder), Stored(workspace))
        write_atomically(folder / REPORT, text)
        write_page(folder, results, workspace, registry)
    return results


def write_recipe(folder: Path, recipe: Recipe, workspace: Path) -> None:
    """Write recipe.yaml, which points editors to the schema of recipes in the workspace; that is written where new."""
    path, schema = workspace / SCHEMA, json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != schema:
        write_atomically(path, schema)
    write_atomically(folder / RECIPE, recipe_yaml(recipe, os.path.relpath(path, folder)))


def _same(before: Json, results: Json) -> bool:
    names = ("scores", "pairs", "training", "duplicates", "notices", "versions")
    return all(before.get(name) == json.loads(json.dumps(results[name])) for name in names)
