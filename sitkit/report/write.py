"""Write a run's folder: recipe.yaml, results.json, report.md, report.html with its figures."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

from sitkit.errors import RunNotFoundError
from sitkit.execution.executor import Outcome
from sitkit.plan import Plan
from sitkit.plugin_support import NOTICES
from sitkit.recipe import SCHEMA, Recipe, recipe_schema, recipe_yaml
from sitkit.registry import Registry
from sitkit.report.judgements import judgement_tables
from sitkit.report.markdown import markdown
from sitkit.report.page import write_page
from sitkit.report.sections import report_sections
from sitkit.report.warnings import warnings_of
from sitkit.results.build import build_results
from sitkit.results.files import RECIPE, RESULTS, read_results, workspace_of, write_results
from sitkit.results.judgements import load_judgements
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.store import disk_errors, write_atomically

REPORT = "report.md"


def begin_run(folder: Path, plan: Plan) -> None:
    """Write recipe.yaml of a run that starts, so that it is known and can go on if it is interrupted.

    What a finished run has written stays until this one is done. Raises `StoreError` if the folder cannot be written.
    """
    if not (folder / RESULTS).exists():
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / RECIPE, recipe_yaml(plan.full_recipe()))


def write_run(folder: Path, plan: Plan, outcome: Outcome, registry: Registry) -> Results:
    """Write the files of a run that is done and return its results.

    Raises `StoreError` if the folder cannot be written.
    """
    before = None
    with contextlib.suppress(RunNotFoundError):
        before = read_results(folder)
    results = build_results(plan, outcome, StoredRows(workspace_of(folder)), before)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_recipe(folder, plan.full_recipe())
        write_results(folder, results)
    write_report(folder, results, registry)
    return results


def write_report(folder: Path, results: Results, registry: Registry) -> Path:
    """Write report.md and report.html of a run from its results and what judges said of it; return the page's path.

    A judgement that cannot be used is a warning in both, and told.
    """
    judgements, unread = load_judgements(folder, results)
    for text in unread:
        logging.getLogger(NOTICES).warning("%s", text)
    sections, problems = report_sections(results, judgements, registry)
    problems = [*unread, *problems]
    ratings = [table for judgement in judgements for table in judgement_tables(judgement)]
    with disk_errors(folder):
        write_atomically(folder / REPORT, markdown(results, folder.name, ratings, sections, problems))
        return write_page(
            folder,
            results,
            StoredRows(workspace_of(folder)),
            warnings=[*warnings_of(results), *problems],
            ratings=ratings,
            sections=sections,
            registry=registry,
        )


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write recipe.yaml, which points editors to the schema of recipes in the workspace; that is written where new."""
    path, schema = workspace_of(folder) / SCHEMA, json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != schema:
        write_atomically(path, schema)
    write_atomically(folder / RECIPE, recipe_yaml(recipe, os.path.relpath(path, folder)))
