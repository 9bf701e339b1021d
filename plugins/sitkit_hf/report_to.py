"""Trackers that a trainer sends its curves to (tensorboard, wandb, trackio, …), through transformers' callbacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sitkit.settings import TrainSettings

PROJECT = "sitkit"

TENSORBOARD_FOLDER = "SITKIT_TENSORBOARD"
"""The environment variable by which a run says where its curves grow, in TensorBoard's event files."""


def trackers(report_to: str) -> list[str]:
    """Return the names in a comma-separated list; none for "none"."""
    names = [name.strip() for name in report_to.split(",")]
    return [] if names == ["none"] else names


def tracking(stage: str, settings: TrainSettings, out: Path) -> dict[str, Any]:
    """Return the trainer's arguments. A run's name is that of its stage and of the folder of its artifacts."""
    names = trackers(settings.report_to)
    if not names:
        return {"report_to": "none"}
    arguments = {
        "report_to": names,
        "run_name": f"{stage}-{out.parent.name[:12]}",
        "project": os.environ.get("TRACKIO_PROJECT") or PROJECT,
    }
    # Left to itself, trackio may publish a page of the run on the hub.
    return arguments | ({"trackio_static_space_id": False} if "trackio" in names else {})


@contextlib.contextmanager
def reporting(trainer: Any, settings: TrainSettings) -> Iterator[None]:
    """Let a training report: the environment is as it was afterwards, and what a tracker began is ended.

    TensorBoard's files go to TENSORBOARD_LOGGING_DIR, or to the run's folder, else to ./runs, in a folder of the
    training's name: transformers would write beside the checkpoints, which are removed in the end.
    """
    from transformers.integrations import TensorBoardCallback

    parent = os.environ.get("TENSORBOARD_LOGGING_DIR") or os.environ.get(TENSORBOARD_FOLDER) or "runs"
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = str(Path(parent).expanduser() / trainer.args.run_name)
    if "wandb" not in trackers(settings.report_to):
        yield
        return
    import wandb

    # transformers takes the project of wandb from nowhere else.
    named = "WANDB_PROJECT" in os.environ
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    try:
        yield
    finally:
        if not named:
            os.environ.pop("WANDB_PROJECT", None)
        # It would go on with the same run in the next training of this process.
        wandb.finish()
