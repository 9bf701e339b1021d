"""Trackers that a trainer sends its curves to (tensorboard, wandb, trackio, …), through transformers' callbacks."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sitkit.errors import SettingError, suggestion
from sitkit.settings import TrainSettings

_MODULES = {
    "clearml": ("clearml",),
    "comet_ml": ("comet_ml",),
    "dvclive": ("dvclive",),
    "mlflow": ("mlflow",),
    "neptune": ("neptune",),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""transformers' names of trackers, and the modules of which each needs one."""

PROJECT = "sitkit"


def trackers(report_to: str) -> list[str]:
    """Return the names in a comma-separated list; none for "none"."""
    names = [name.strip() for name in report_to.split(",")]
    return [] if names == ["none"] else names


def check_trackers(stage: str, settings: TrainSettings) -> None:
    """Raise `SettingError` for a tracker that is not known or not installed. Imports none of them."""
    for name in trackers(settings.report_to):
        where = f"{stage}.report_to={settings.report_to}"
        if name not in _MODULES:
            raise SettingError(f"{where}: no tracker is called {name!r}{suggestion(name, (*_MODULES, 'none'))}")
        if not any(find_spec(module) for module in _MODULES[name]):
            raise SettingError(f"{where}: {name} is not installed here; run: pip install {_MODULES[name][0]}")


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


def keep_files(trainer: Any) -> None:
    """Have tensorboard write under TENSORBOARD_LOGGING_DIR, else ./runs, in a folder of the run's name.

    transformers would otherwise write beside the checkpoints, which are removed in the end.
    """
    from transformers.integrations import TensorBoardCallback

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            folder = Path(os.environ.get("TENSORBOARD_LOGGING_DIR") or "runs").expanduser()
            callback.logging_dir = str(folder / trainer.args.run_name)


def finish(settings: TrainSettings) -> None:
    """End what a tracker would otherwise go on with in the next training of this process."""
    if "wandb" in trackers(settings.report_to):
        import wandb

        wandb.finish()
