"""A run's folder: results.json written, read back, and held against the store it names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from sitkit.errors import RunNotFoundError, SitkitError
from sitkit.execution.executor import Outcome, StageRecord
from sitkit.execution.freshness import freshness
from sitkit.plan import Plan, build_plan
from sitkit.plugin_support import NOTICES
from sitkit.recipe import load_recipe, recipe_from
from sitkit.registry import Registry, load_plugins
from sitkit.results.build import build_results
from sitkit.results.contradictions import contradiction
from sitkit.results.model import Results, decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.store import Store, disk_errors, write_atomically

RESULTS = "results.json"
RECIPE = "recipe.yaml"


def write_results(folder: Path, results: Results) -> None:
    """Write results.json. Raises `StoreError` if the folder cannot be written."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / RESULTS, encoded(results).decode("utf-8"))


def read_results(folder: Path) -> Results:
    """Read a run's results.json and hold it against its store. Raises `RunNotFoundError` saying what to do."""
    path = folder / RESULTS
    try:
        results = decoded(path.read_bytes())
    except FileNotFoundError as error:
        raise RunNotFoundError(f"there is no finished run in {folder} (no {RESULTS})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunNotFoundError(f"{path} cannot be used: {_reason(error)}; {again(folder)}") from error
    problem = contradiction(results, Store(workspace_of(folder)))
    if problem is not None:
        raise RunNotFoundError(f"{path} cannot be used: {problem}; {again(folder)}")
    return results


def load_results(folder: Path, registry: Registry | None = None) -> Results:
    """Return a run's results; where results.json is damaged or outdated, they are built anew from the store, and
    a notice says so.

    Raises `RunNotFoundError` where the store does not hold every stage of the recipe either.
    """
    try:
        return read_results(folder)
    except RunNotFoundError as error:
        if not (folder / RESULTS).exists():
            raise
        try:
            results = rebuilt(folder, registry or load_plugins())
        except (SitkitError, OSError) as trouble:
            raise error from trouble
        logging.getLogger(NOTICES).warning(
            "%s; it was built again from the store", str(error).removesuffix(f"; {again(folder)}")
        )
        return results


def rebuilt(folder: Path, registry: Registry) -> Results:
    """Build the results of recipe.yaml from the store and write them.

    Raises `RunNotFoundError` if a stage is not stored, and what reading the recipe and planning it raise.
    """
    recipe = recipe_from(load_recipe(folder / RECIPE), str(folder / RECIPE))
    store = Store(workspace_of(folder))
    plan = build_plan(recipe, registry)
    try:
        outcome = _stored_outcome(plan, store)
        if outcome is None:
            raise RunNotFoundError(f"not every stage of {folder.name} is stored; {again(folder)}")
        results = build_results(plan, outcome, StoredRows(store.workspace))
    finally:
        plan.close()
    write_results(folder, results)
    return results


def workspace_of(folder: Path) -> Path:
    """Return the workspace a run's folder lies in, whichever workspace is the default here."""
    return Store.of_run(folder).workspace


def again(folder: Path, more: str = "", does: str = "makes it again") -> str:
    """Return the command that makes a run anew, or finishes it, in words."""
    command = f"sitkit run --config {folder / RECIPE} --name {folder.name} --workspace {workspace_of(folder)}{more}"
    return f"`{command}` {does}"


def _stored_outcome(plan: Plan, store: Store) -> Outcome | None:
    outcome = Outcome()
    for node in plan.nodes:
        artifact = freshness(node, store, outcome.artifacts).artifact
        if artifact is None:
            return None
        outcome.artifacts[node.key] = artifact
        label = node.stage.label()
        record = StageRecord(node.stage.name, label, node.key, artifact.seconds, reused=True, info=artifact.info)
        outcome.stages.append(record)
    return outcome


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "it is not JSON"
    return str(error)
