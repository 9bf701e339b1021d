"""Experiment trackers (TensorBoard, wandb, trackio): a run's scores, pair counts, training curves and recipe.

A run names them in the setting ``train.report_to``. Trainers send their curves while they train; when the run is done,
what is known then is sent, and the curves again, from the store, so that they are there for students that were trained
before. None of the trackers comes with sitkit, and none is imported before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import hookimpl
from sitkit.errors import SettingError, suggestion

if TYPE_CHECKING:
    from sitkit.recipe import Recipe
    from sitkit.results.model import Results
    from sitkit.types import Json

TENSORBOARD = "tensorboard"
"""The folder below a run's that holds its event files, for: tensorboard --logdir WORKSPACE/runs"""

LIVE_FOLDER = "SITKIT_TENSORBOARD"
"""The environment variable that tells trainers, in whatever process, where the run's event files go."""

MODULES = {
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
"""transformers' names of trackers, which all take curves, and the modules of which each needs one."""


@hookimpl
def sitkit_before_run(recipe: Recipe, folder: Path) -> None:
    """Raise `SettingError` for a tracker that is unknown or not installed, and tell trainers where the run's files go.

    The variable is set anew, or removed, for every run: none writes into the folder of one before it.
    """
    names = reported(recipe.settings)
    check_trackers(names)
    os.environ.pop(LIVE_FOLDER, None)
    if "tensorboard" in names:
        os.environ[LIVE_FOLDER] = str(folder / TENSORBOARD)


@hookimpl
def sitkit_after_run(results: Results, folder: Path) -> None:
    """Send a finished run to the trackers its recipe names; see `sitkit_trackers.loggers.log_run`."""
    os.environ.pop(LIVE_FOLDER, None)
    names = reported(results.recipe["set"])
    if names:
        from sitkit_trackers.loggers import log_run

        log_run(names, folder, results)


def reported(settings: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Return the trackers that settings (stage -> key -> value) name, each once."""
    from sitkit.settings import resolve

    resolved = resolve(settings)
    named = [resolved.instruct.report_to, resolved.refine.report_to, resolved.explore.report_to]
    return list(dict.fromkeys(name.strip() for text in named if text.strip() != "none" for name in text.split(",")))


def check_trackers(names: list[str]) -> None:
    """Raise `SettingError` for a tracker that is unknown or not installed. Imports none of them."""
    from importlib.util import find_spec

    for name in names:
        if name not in MODULES:
            raise SettingError(
                f"train.report_to: no tracker is called {name!r}{suggestion(name, (*MODULES, 'none'))}"
            )  # fmt: skip
        if not any(find_spec(module) for module in MODULES[name]):
            raise SettingError(
                f"train.report_to: the tracker {name} is not installed; run: pip install {MODULES[name][0]}"
            )
