"""One model on several tasks: sitkit's evaluation against lm-eval's hf model on the same tasks, and the same scores."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sitkit.types import Generation, Prompt
from tests.speed import floors
from tests.speed.lines.sampling import counted
from tests.speed.measure import Options, Row, clock, in_turn, medians
from tests.speed.peers import BATCHES, Harness, fastest
from tests.speed.work import EMBEDDED, SMOL, Work, embedded, smol

NAMES = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
TOKENS = 96


def measure(options: Options) -> list[Row]:
    """Score the embedded student, and smol, on the embedded world's four benchmarks, both promptings."""
    rows = []
    if EMBEDDED in options.works:
        rows.append(_row(embedded(2), "tiny", 25 if options.quick else None, options))
    if SMOL in options.works:
        work = smol(2, options.data)
        rows.append(_row(work, f"smol,chat_template=off,dtype={work.dtype}", 5 if options.quick else 25, options))
    return rows


def _row(work: Work, student: str, limit: int | None, options: Options) -> Row:
    from lm_eval.tasks import TaskManager

    from sitkit.harness.folders import tasks_dir

    manager = TaskManager(include_path=[str(tasks_dir())], include_defaults=False)
    scores: dict[str, dict[str, float]] = {}
    size = _best(work, manager, limit)

    def ours() -> float:
        scores["sitkit"], seconds = _stages(student, limit)
        return seconds

    def theirs() -> float:
        harness = Harness(work.model, size, work.device, work.dtype)
        started = clock()
        scores["peer"] = _evaluated(harness, manager, limit)
        return clock() - started

    in_turn(1, {"sitkit": ours, "peer": theirs})
    taken = in_turn(options.pairs, {"sitkit": ours, "peer": theirs})
    middle = medians(taken)
    same = sum(scores["sitkit"][task] == value for task, value in scores["peer"].items())
    return Row(
        "evaluation",
        work.label,
        "s",
        middle["sitkit"],
        middle["peer"],
        goal=1.5,
        floor=_floor(work, limit),
        note=f"{same} of {len(scores['peer'])} scores are the same; peer at batch {size}",
        samples=taken,
    )


def _stages(student: str, limit: int | None) -> tuple[dict[str, float], float]:
    """Walk the evaluation stages of one phase in a fresh store, in this process, as a run does; task -> accuracy, and
    the seconds. Loading the model is not counted, as it is not of the peer's.
    """
    from sitkit.execution.here_executor import run_plan
    from sitkit.plan import build_plan
    from sitkit.recipe import Recipe
    from sitkit.registry import load_plugins
    from sitkit.store import Store

    registry = load_plugins()
    settings = {"evaluate": {"max_new_tokens": TOKENS}}
    plan = build_plan(Recipe(student=(student,), eval_on=NAMES, test_limit=limit, settings=settings), registry)
    baseline = tuple(cell for cell in plan.cells if cell.phase == "baseline")
    plan = dataclasses.replace(plan, nodes=tuple(cell.node for cell in baseline))
    loaded: Any = baseline[0].node.stage.components[0].made
    loaded.models.generator(None)
    started = clock()
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        outcome = run_plan(plan, Store(Path(folder)), registry, lambda event: None)
    seconds = clock() - started
    plan.close()
    found = {
        f"sit_{score['benchmark']}_{score['prompting']}": float(score["value"])
        for record in outcome.stages
        for score in record.info["scores"]
    }
    return found, seconds


def _tasks() -> list[str]:
    return [f"sit_{name}_{prompting}" for name in NAMES for prompting in ("direct", "cot")]


def _evaluated(harness: Harness, manager: Any, limit: int | None) -> dict[str, float]:
    from lm_eval import simple_evaluate

    with contextlib.redirect_stderr(io.StringIO()), _undescribed():
        found = simple_evaluate(
            model=harness.lm,
            tasks=_tasks(),
            task_manager=manager,
            limit=limit,
            gen_kwargs={"max_gen_toks": TOKENS},
            bootstrap_iters=0,
        )
    return {task: float(values["accuracy,none"]) for task, values in found["results"].items()}


@contextlib.contextmanager
def _undescribed() -> Iterator[None]:
    """Leave out lm-eval's description of machine and git commit, over a second a call: sitkit leaves it out as well."""
    from unittest.mock import patch

    with patch("lm_eval.evaluator.add_env_info"), patch("lm_eval.evaluator.get_git_commit_hash", return_value=None):
        yield


def _best(work: Work, manager: Any, limit: int | None) -> int:
    most = 2 * max(BATCHES) // len(_tasks())

    def rate(size: int) -> float:
        harness = Harness(work.model, size, work.device, work.dtype)
        started = clock()
        _evaluated(harness, manager, min(most, limit or most))
        return 1 / (clock() - started)

    return fastest(rate)


def _floor(work: Work, limit: int | None) -> float:
    """Bare forward passes over the same prompts and answers."""
    from sitkit_tiny.benchmarks import questions

    student = work.student()
    prompts = [
        Prompt(f"{prompting}|{question.id}", question.prompt(prompting))
        for name in NAMES
        for question in questions(name, "test")[:limit]
        for prompting in ("direct", "cot")
    ]
    written = counted(student, prompts, Generation(TOKENS))
    tokenizer = student.models.tokenizer()
    lengths = [(len(tokenizer(prompt.text)["input_ids"]), written[prompt.id]) for prompt in prompts]
    return floors.generation(student.models.generator(None), lengths)
