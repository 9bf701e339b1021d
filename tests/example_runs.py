"""Real runs of the example plugin's parts, in this process: seconds, no torch of their own."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sitkit.execution import executors
from sitkit.execution.here_executor import run_plan
from sitkit.plan import Plan, build_plan
from sitkit.providers import Provider
from sitkit.recipe import Recipe, recipe_yaml
from sitkit.registry import Registry, build_registry, plugin_manager
from sitkit.results.build import build_results
from sitkit.results.files import RECIPE, write_results
from sitkit.results.rows import StoredRows
from sitkit.store import Store

EXAMPLE = Path(__file__).parent / "example_plugin" / "src"
PARTS: dict[str, Any] = {
    "teacher": ("speller,slips=5",),
    "student": ("counter",),
    "strategy": "spelled-first",
    "train_on": ("letters",),
}


@contextmanager
def example_registry() -> Iterator[Registry]:
    """A registry that holds the example plugin, and sitkit's own executors."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        import sitkit_example  # type: ignore[import-not-found]

        manager = plugin_manager()
        manager.register(sitkit_example, name="example")
        manager.register(executors, name="executors")
        providers = {"example": Provider("sitkit-example", "1.0"), "executors": Provider("sitkit", "0")}
        yield build_registry(manager, providers)
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in [name for name in sys.modules if name.split(".")[0] == "sitkit_example"]:
            del sys.modules[name]


def make_run(registry: Registry, workspace: Path, name: str, **changes: Any) -> tuple[Path, int]:
    """Run a recipe; return the run's folder, with its results and recipe alone, and how many stages were made anew."""
    plan = build_plan(Recipe(**{**PARTS, **changes}), registry)
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    plan.close()
    folder = workspace / "runs" / name
    write_results(folder, build_results(plan, outcome, StoredRows(workspace)))
    (folder / RECIPE).write_text(recipe_yaml(plan.full_recipe()), encoding="utf-8")
    return folder, sum(not record.reused for record in outcome.stages)


def count_stages(plan: Plan) -> dict[str, int]:
    """Return how many stages of each name a plan has."""
    return dict(Counter(node.stage.name for node in plan.nodes))
