"""results.json: everything a run found, as plain data. ``scores`` depends on the recipe alone, not on resumes."""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sitkit.components import Component
from sitkit.errors import RunNotFoundError
from sitkit.execution.walk import Outcome
from sitkit.plan import Arm, Cell, Plan
from sitkit.report.duplicates import duplicates
from sitkit.stages import Annotate, Evaluate
from sitkit.types import Json

RESULTS = "results.json"
RECIPE = "recipe.yaml"
REPORT = "report.md"

_ARM_FIELDS = ("student", "teacher", "train_on", "refine_on", "fraction", "seed", "method")
_STUDENT_FIELDS = ("phase", *_ARM_FIELDS, "stage", "key")

_PACKAGES = ("sitkit", "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "lm_eval", "math-verify")


def make_results(plan: Plan, outcome: Outcome, before: Json = None) -> dict[str, Json]:
    """Return the content of results.json; its recipe is the full one, every setting resolved.

    ``before`` is the same run's earlier content, if any: what it says of questions that are the same now is taken over.
    """
    recipe = plan.full_recipe()
    return {
        "recipe": recipe.as_mapping(),
        "versions": versions(plan),
        "stages": [
            {
                "stage": record.stage,
                "label": record.label,
                "key": record.key,
                "seconds": record.seconds,
                "reused": record.reused,
            }
            for record in outcome.stages
        ],
        "students": _students(plan),
        "arms": [{**_arm(arm), "strategy": plan.strategy.spec} for arm in plan.arms],
        "teacher_accuracy": _teacher_accuracy(plan, outcome),
        "tasks": _tasks(plan),
        "usage": _usage(plan, outcome),
        "duplicates": _duplicates(plan, outcome, before),
        "demonstrations": _demonstrations(plan, outcome),
        "pairs": _pairs(plan, outcome),
        "training": _training(outcome),
        "scores": [row for cell in plan.cells for row in _scores(plan, cell, outcome)],
        "notices": list(dict.fromkeys([*outcome.notices, *_warnings(outcome)])),
    }


def _tasks(plan: Plan) -> dict[str, Json]:
    """The lm-eval tasks behind the scores, by benchmark and prompting."""
    made = {cell.benchmark: cell.node.stage for cell in plan.cells}
    return {name: stage.tasks() for name, stage in made.items() if isinstance(stage, Evaluate)}


def _students(plan: Plan) -> list[dict[str, Json]]:
    """Which artifact holds which seed's instructed and refined student."""
    rows: dict[str, dict[str, Json]] = {}
    for arm in plan.arms:
        for phase, one in (("instruct", arm.instructed), ("refine", arm.refined)):
            if one is not None and (phase == "refine" or arm.train_on):
                what = {**_arm(arm), "phase": phase, "stage": one.stage.name, "key": one.key}
                rows.setdefault(one.key, {name: what[name] for name in _STUDENT_FIELDS})
    return list(rows.values())


def _arm(arm: Arm) -> dict[str, Json]:
    return {
        "student": arm.student.spec,
        "teacher": arm.teacher.spec,
        "train_on": list(arm.train_on),
        "refine_on": list(arm.refine_on),
        "fraction": arm.fraction,
        "seed": arm.seed,
        "method": arm.method,
        "annotate": [one.key for one in arm.annotated],
        "instruct": arm.instructed.key if arm.train_on else None,
        "sample": [one.key for one in arm.sampled],
        "pair": None if arm.paired is None else arm.paired.key,
        "refine": None if arm.refined is None else arm.refined.key,
    }


def _teacher_accuracy(plan: Plan, outcome: Outcome) -> list[dict[str, Json]]:
    """The teachers' own accuracy (Table 5), over the questions they answered."""
    rows: dict[str, dict[str, Json]] = {}
    for one in plan.annotated:
        stage, info = one.stage, outcome.artifacts[one.key].info
        if isinstance(stage, Annotate) and info["answered"]:
            value, n = info["right"] / info["answered"], info["answered"]
            rows[one.key] = {
                "teacher": stage.teacher.spec,
                "benchmark": stage.questions.benchmark.spec,
                "split": stage.questions.split,
                "prompting": stage.prompting,
                "value": value,
                "stderr": math.sqrt(value * (1 - value) / (n - 1)) if n > 1 else 0.0,
                "n": n,
                "key": one.key,
            }
    return list(rows.values())


def versions(plan: Plan) -> dict[str, str]:
    """Return the versions of Python, of the packages results depend on, and of the plugins taking part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    parts: list[Component[Any]] = [*plan.teachers, *plan.students, plan.strategy]
    parts += [questions.benchmark for questions in plan.question_sets]
    for part in parts:
        found[part.provider["distribution"]] = part.provider["version"]
    return found


def load_results(run: Path) -> dict[str, Json]:
    """Read a run's results.json. Raises `RunNotFoundError` if there is none or it cannot be read."""
    path = run / RESULTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("scores", "stages", "students", "demonstrations", "training"):
            if not all(isinstance(row, dict) for row in content[name]):
                raise TypeError(f"{name} is no list of objects")
        _ = dict(content["recipe"]), dict(content["pairs"]), dict(content["versions"])
    except FileNotFoundError as error:
        raise RunNotFoundError(f"there is no finished run in {run} (no {RESULTS})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunNotFoundError(f"{path} cannot be read as results: {error}; run the recipe again") from error
    return dict(content)


def _scores(plan: Plan, cell: Cell, outcome: Outcome) -> list[dict[str, Json]]:
    recipe, info = plan.recipe, outcome.artifacts[cell.node.key].info
    domains = {part.benchmark.spec: part.benchmark.made.domain for part in plan.question_sets}
    trained = {*cell.train_on, *cell.refine_on} or {*recipe.taught_on, *recipe.refined_on}
    rows = []
    for score in info["scores"]:
        worked = info["worked"][score["prompting"]]
        rows.append(
            {
                "student": cell.student,
                "teacher": cell.teacher,
                "strategy": recipe.strategy,
                "phase": cell.phase,
                "train_on": list(cell.train_on),
                "refine_on": list(cell.refine_on),
                **score,
                "transfer": _transfer(cell.benchmark, trained, domains),
                "worked": worked["worked"],
                "worked_correct": worked["worked_correct"],
                "characters": worked["characters"],
                "seed": cell.seed,
                "fraction": cell.fraction,
                "method": cell.method,
                "key": cell.node.key,
            }
        )
    return rows


def _transfer(benchmark: str, trained: set[str], domains: Mapping[str, str]) -> str:
    if benchmark in trained:
        return "trained"
    return "in-domain" if domains[benchmark] in {domains[name] for name in trained} else "out-of-domain"


def _demonstrations(plan: Plan, outcome: Outcome) -> list[dict[str, Json]]:
    found = []
    for one in plan.annotated:
        if isinstance(one.stage, Annotate) and one.stage.demonstrates:
            found.append({"label": one.stage.label(), "key": one.key, **outcome.artifacts[one.key].info})
    return found


def _duplicates(plan: Plan, outcome: Outcome, before: Json) -> list[dict[str, Json]]:
    # Counting them takes every question, which a run that has nothing to do need not read again.
    if isinstance(before, dict) and all(record.reused for record in outcome.stages):
        keys = [record.key for record in outcome.stages]
        if "duplicates" in before and [one["key"] for one in before["stages"]] == keys:
            return list(before["duplicates"])
    return duplicates(plan.question_sets)


def _usage(plan: Plan, outcome: Outcome) -> dict[str, Json]:
    """Tokens of all teachers' replies, and their cost in US dollars if every price is known."""
    used = [outcome.artifacts[one.key].info["usage"] for one in plan.annotated]
    costs = [one["cost"] for one in used]
    return {
        "prompt_tokens": sum(one["prompt_tokens"] for one in used),
        "completion_tokens": sum(one["completion_tokens"] for one in used),
        "cost": None if None in costs or not costs else sum(costs),
    }


def _pairs(plan: Plan, outcome: Outcome) -> dict[str, Json]:
    arms = [(arm, arm.paired) for arm in plan.arms if arm.paired is not None]
    infos = [outcome.artifacts[paired.key].info for _, paired in arms]
    names = [name for name, value in infos[0].items() if isinstance(value, int)] if infos else []
    counts = {name: sum(info[name] for info in infos) for name in names}
    reasons: Counter[str] = Counter()
    for info in infos:
        reasons.update(info["left_out_reasons"])
    by_arm = [
        {**{name: value for name, value in _arm(arm).items() if name in _ARM_FIELDS}, "key": paired.key, **info}
        for (arm, paired), info in zip(arms, infos, strict=True)
    ]
    return {"total": 0, **counts, "left_out_reasons": dict(sorted(reasons.items())), "by_arm": by_arm}


def _training(outcome: Outcome) -> list[dict[str, Json]]:
    return [
        {"stage": record.stage, "label": record.label, "key": record.key, **record.info}
        for record in outcome.stages
        if record.stage in ("instruct", "refine")
    ]


def _warnings(outcome: Outcome) -> Sequence[str]:
    return [text for record in outcome.stages for text in record.info.get("warnings", ())]
