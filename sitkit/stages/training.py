"""What instruct and refine share: where the adapter lies, and how a training report is kept and told."""

from __future__ import annotations

from sitkit.stages.base import Work
from sitkit.store.jsonl import write_rows
from sitkit.types import Json, TrainingReport

ADAPTER = "adapter"
LOG = "log.jsonl"


def training_info(work: Work, report: TrainingReport) -> Json:
    """Write the training curve beside the adapter, pass warnings on, and return what there is to tell."""
    if not isinstance(report, TrainingReport):
        raise TypeError(f"gave {type(report).__name__} in place of a TrainingReport")
    write_rows(work.folder / LOG, [dict(row) for row in report.log])
    for warning in report.warnings:
        work.notice(warning)
    return {"steps": report.steps, "metrics": dict(report.metrics)}
