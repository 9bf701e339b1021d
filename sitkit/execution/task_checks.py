"""Hold every lm-eval task of a plan against what it has to be, once for each state of files and questions."""

from __future__ import annotations

from pathlib import Path

from sitkit.capabilities import HarnessStudent
from sitkit.plan import Plan
from sitkit.registry import Registry
from sitkit.stages import Evaluate, EvaluateTask
from sitkit.store import Store, make_key


def check_plan_tasks(plan: Plan, store: Store, registry: Registry) -> list[str]:
    """Return the keys of the verdicts that are new. The store remembers the others, and plain tasks need none.

    Raises `PluginError` for a task that does not score what the run says it scores. Reads the test questions.
    """
    data_dir = None if plan.recipe.data_dir is None else Path(plan.recipe.data_dir)
    folders = registry.folders_of_tasks()
    scored = {
        (stage.questions.benchmark.spec, stage.questions.seed, stage.test_limit): stage
        for stage in (node.stage for node in plan.nodes)
        if isinstance(stage, Evaluate)
    }
    pending = {
        key: check
        for stage in scored.values()
        for check in stage.task_checks(data_dir, folders)
        if not check.is_plain() and not store.is_checked(key := check.key())
    }
    if pending:
        # lm-eval takes seconds to load.
        from sitkit.harness.check import check_tasks

        check_tasks(list(pending.values()))
    return [*pending, *_check_any_tasks(plan, store, data_dir)]


def _check_any_tasks(plan: Plan, store: Store, data_dir: Path | None) -> list[str]:
    from sitkit.harness.any_task import check_any

    found = []
    stages = {
        (stage.task.spec, stage.student.spec): stage
        for stage in (node.stage for node in plan.nodes)
        if isinstance(stage, EvaluateTask)
    }
    for stage in stages.values():
        capable = isinstance(stage.student.made, HarnessStudent)
        key = make_key(["lm-eval task", stage.task.material(), capable])
        if not store.is_checked(key):
            check_any([stage.task], stage.metadata(data_dir), stage.student.spec, capable=capable)
            found.append(key)
    return found
