"""What instruct and refine share: which objective and settings count, where the adapter lies, how training is told."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

from sitkit.components import Component
from sitkit.conformance import adapter_fault, report_fault
from sitkit.errors import SettingError
from sitkit.settings import RefineSettings, key_material
from sitkit.stages.base import Work
from sitkit.store.jsonl import write_rows
from sitkit.types import Json, Objective, Student, TrainingReport

ADAPTER = "adapter"
LOG = "log.jsonl"


def training_info(work: Work, student: Component[Student], method: str, report: TrainingReport) -> Json:
    """Write the training curve beside the adapter, pass warnings on, and return what there is to tell.

    Raises `PluginError` for a report that cannot be kept, and where there is no adapter.
    """
    fault = report_fault(report) or adapter_fault(work.folder / ADAPTER)
    student.refuse(method, fault and f"{method}: {fault}")
    write_rows(work.folder / LOG, [dict(row) for row in report.log])
    for warning in report.warnings:
        work.notice(warning)
    return {"steps": report.steps, "metrics": dict(report.metrics)}


def resolve_objective(objective: Objective, settings: RefineSettings) -> Objective:
    """Return the strategy's objective with ``refine.loss``, ``refine.weights`` and ``refine.beta`` laid over it.

    Raises `SettingError` if losses and weights do not fit each other; whether a loss is known is the student's to say.
    """
    loss, weights = objective.loss, objective.weights
    if settings.loss is not None:
        loss = tuple(name.strip() for name in settings.loss.split("+"))
        weights = (1.0,) * len(loss)
    if settings.weights is not None:
        weights = tuple(_weight(part, settings.weights) for part in settings.weights.split("+"))
    if not loss or not all(loss) or len(set(loss)) != len(loss):
        raise SettingError(f"refine.loss={'+'.join(loss)}: expected different losses joined by +")
    if len(weights) != len(loss):
        given = "+".join(f"{weight:g}" for weight in weights)
        raise SettingError(f"refine.weights={given}: expected one weight for each of {'+'.join(loss)}")
    return Objective(loss=loss, weights=weights, beta=objective.beta if settings.beta is None else settings.beta)


def with_objective(objective: Objective, settings: RefineSettings) -> RefineSettings:
    """Return the settings with loss, weights and beta as they are used. Raises as `resolve_objective` does."""
    found = resolve_objective(objective, settings)
    return replace(settings, loss="+".join(found.loss), weights="+".join(map(str, found.weights)), beta=found.beta)


def refine_material(objective: Objective, settings: RefineSettings) -> Json:
    """Return what determines a refining: the resolved objective, and the settings that change what is learnt."""
    material = {key: value for key, value in key_material(settings).items() if key not in ("loss", "weights", "beta")}
    return {"objective": asdict(resolve_objective(objective, settings)), "settings": material}


def _weight(part: str, text: str) -> float:
    try:
        weight = float(part)
    except ValueError as error:
        raise SettingError(f"refine.weights={text}: expected numbers joined by +") from error
    if not (math.isfinite(weight) and weight > 0):
        raise SettingError(f"refine.weights={text}: every weight must be above 0")
    return weight
