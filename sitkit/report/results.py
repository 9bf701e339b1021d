"""results.json: everything a run found, as plain data. ``scores`` depends on the recipe alone, not on resumes."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sitkit.errors import RunNotFoundError
from sitkit.parts import Part
from sitkit.pipeline import Outcome
from sitkit.plan import Cell, Plan
from sitkit.recipe import Recipe
from sitkit.stages import Evaluate
from sitkit.types import Json

RESULTS = "results.json"
RECIPE = "recipe.yaml"
REPORT = "report.md"

_PACKAGES = ("sitkit", "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "lm_eval", "math-verify")


def make_results(plan: Plan, recipe: Recipe, outcome: Outcome) -> dict[str, Json]:
    """Return the content of results.json; ``recipe`` is the full one, every setting resolved."""
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
        "tasks": _tasks(plan),
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
    return [
        {"phase": phase, "seed": seed, "stage": one.stage.name, "key": one.key}
        for phase, nodes in (("instruct", plan.instructed), ("refine", plan.refined))
        for seed, one in zip(plan.recipe.seeds, nodes, strict=True)
    ]


def versions(plan: Plan) -> dict[str, str]:
    """Return the versions of Python, of the packages results depend on, and of the plugins taking part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    parts: list[Part[Any]] = [plan.teacher, plan.student, plan.strategy]
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
    trained = {*recipe.train_on, *recipe.refined_on}
    rows = []
    for score in info["scores"]:
        worked = info["worked"][score["prompting"]]
        rows.append(
            {
                "student": recipe.student,
                "teacher": recipe.teacher,
                "strategy": recipe.strategy,
                "phase": cell.phase,
                "train_on": list(recipe.train_on),
                "refine_on": list(recipe.refined_on),
                **score,
                "transfer": _transfer(cell.benchmark, trained, domains),
                "worked": worked["worked"],
                "worked_correct": worked["worked_correct"],
                "seed": cell.seed,
                "fraction": recipe.fraction,
            }
        )
    return rows


def _transfer(benchmark: str, trained: set[str], domains: Mapping[str, str]) -> str:
    if benchmark in trained:
        return "trained"
    return "in-domain" if domains[benchmark] in {domains[name] for name in trained} else "out-of-domain"


def _demonstrations(plan: Plan, outcome: Outcome) -> list[dict[str, Json]]:
    return [{"label": one.stage.label(), **outcome.artifacts[one.key].info} for one in plan.annotated]


def _pairs(plan: Plan, outcome: Outcome) -> dict[str, Json]:
    infos = [outcome.artifacts[one.key].info for one in plan.pairs]
    counts = {name: sum(info[name] for info in infos) for name, value in infos[0].items() if isinstance(value, int)}
    reasons: Counter[str] = Counter()
    for info in infos:
        reasons.update(info["left_out_reasons"])
    by_seed = [{"seed": seed, **info} for seed, info in zip(plan.recipe.seeds, infos, strict=True)]
    return {**counts, "left_out_reasons": dict(sorted(reasons.items())), "by_seed": by_seed}


def _training(outcome: Outcome) -> list[dict[str, Json]]:
    return [
        {"stage": record.stage, "label": record.label, "key": record.key, **record.info}
        for record in outcome.stages
        if record.stage in ("instruct", "refine")
    ]


def _warnings(outcome: Outcome) -> Sequence[str]:
    return [text for record in outcome.stages for text in record.info.get("warnings", ())]
