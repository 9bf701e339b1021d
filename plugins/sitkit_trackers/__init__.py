"""Scores, pair counts, training curves and the recipe of a run, for the experiment trackers people use.

The trainers send their curves while they train; here comes what is known when a run is done, and the curves again, from
the store, so that they are there for trained students that were reused too.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit.errors import PluginError, SettingError, SitkitError, suggestion
from sitkit.report.one_arm import ARM, belongs
from sitkit.results.artifacts import Stored
from sitkit.store import disk_errors
from sitkit.types import PHASES, Json

PROJECT = "sitkit"
TENSORBOARD = "tensorboard"
"""The folder below a run's that holds its event files, for: tensorboard --logdir WORKSPACE/runs"""

SCORES = "scores"
"""The group of what is no training curve."""

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}


@dataclass(frozen=True)
class Series:
    """Numbers over steps, under the name of a curve; ``group`` tells the curves of one stage or arm from others'."""

    group: str
    name: str
    points: Sequence[tuple[int, float]]


def check_trackers(names: Sequence[str]) -> None:
    """Raise `SettingError` for a tracker that is unknown or not installed. Imports none of them."""
    for name in names:
        if name not in _PACKAGES:
            raise SettingError(f"no tracker is called {name!r}{suggestion(name, _PACKAGES)}")
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise SettingError(f"the tracker {name} is not installed: pip install {_PACKAGES[name]}")


def log_run(trackers: Sequence[str], run_folder: Path, results: Json, workspace: Path) -> None:
    """Send a finished run to the trackers.

    TensorBoard's event files lie in ``RUN/tensorboard``, written anew each time; wandb and trackio get one run of the
    run's name in the project WANDB_PROJECT or TRACKIO_PROJECT (else "sitkit"), at their own places. Accuracies stand
    at step 0 (baseline), 1 (instruct) and 2 (refine). Raises `SettingError` as `check_trackers` does, and
    `StoreError` or `DiskFullError` if files cannot be written, and `PluginError` for whatever else a tracker raises.
    """
    check_trackers(trackers)
    series = [*scores(results), *counts(results), *curves(results, Stored(workspace))]
    for name in dict.fromkeys(trackers):
        try:
            _LOGGERS[name](run_folder, results, series)
        except (SitkitError, OSError):
            raise
        except Exception as error:
            # Other people's code, and often a network: what it raises must not look like a lost run.
            told = f"{type(error).__name__}: {error}"
            raise PluginError(f"the tracker {name} failed with {told}; the run itself is complete") from error


def scores(results: Json) -> Iterator[Series]:
    """Yield each benchmark's accuracy over the phases, by arm and prompting; a baseline starts every arm's curve."""
    arms = results["arms"]
    several = [name for name in (*ARM, "seed") if len({_text(arm[name]) for arm in arms}) > 1]
    for arm in arms:
        group = " ".join([SCORES, *(_text(arm[name]) for name in several)])
        points: dict[str, dict[int, float]] = {}
        for row in results["scores"]:
            if belongs(row, arm):
                name = f"accuracy/{row['benchmark']}/{row['prompting']}"
                points.setdefault(name, {})[PHASES.index(row["phase"])] = float(row["value"])
        for name, values in points.items():
            yield Series(group, name, sorted(values.items()))


def counts(results: Json) -> Iterator[Series]:
    """Yield how many pairs there are and where they came from."""
    for name, value in results["pairs"].items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield Series(SCORES, f"pairs/{name}", [(0, float(value))])


def curves(results: Json, stored: Stored) -> Iterator[Series]:
    """Yield the training curves of every instructed and refined student, from the store; what is gone is left out."""
    for one in results["training"]:
        points: dict[str, list[tuple[int, float]]] = {}
        for row in stored.rows(one["stage"], one["key"]) or ():
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float):
                    points.setdefault(name, []).append((int(row.get("step", 0)), float(value)))
        for name, values in points.items():
            yield Series(f"{one['stage']} {one['label']}", f"train/{name}", values)


def _text(value: Json) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _module(name: str) -> Any:
    # None of the trackers comes with sitkit.
    return importlib.import_module(name)


def _tensorboard(run_folder: Path, results: Json, series: Sequence[Series]) -> None:
    event = _module("tensorboard.compat.proto.event_pb2").Event
    summary = _module("tensorboard.compat.proto.summary_pb2").Summary
    text_summary = _module("tensorboard.plugins.text.summary_v2").text_pb
    event_writer = _module("tensorboard.summary.writer.event_file_writer").EventFileWriter
    folder = run_folder / TENSORBOARD
    with disk_errors(run_folder):
        # A second file beside those of an earlier time would draw every curve twice.
        shutil.rmtree(folder, ignore_errors=True)
        for group in dict.fromkeys(one.group for one in series):
            writer = event_writer(str(folder / _slug(group)))
            try:
                for one in series:
                    for step, value in one.points if one.group == group else ():
                        scalar = summary(value=[summary.Value(tag=one.name, simple_value=value)])
                        writer.add_event(event(step=step, wall_time=time.time(), summary=scalar))
                if group.startswith(SCORES):
                    for name in ("recipe", "versions"):
                        text = text_summary(name, _indented(results[name]))
                        writer.add_event(event(step=0, wall_time=time.time(), summary=text))
            finally:
                writer.close()


def _wandb(run_folder: Path, results: Json, series: Sequence[Series]) -> None:
    wandb = _module("wandb")
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run_folder.name,
        dir=str(run_folder),
        config={"recipe": results["recipe"], "versions": results["versions"]},
        reinit="finish_previous",
    )
    for axis, names in _axes(series).items():
        run.define_metric(axis, hidden=True)
        for name in names:
            run.define_metric(name, step_metric=axis)
    for values in _by_step(series):
        run.log(values)
    run.finish()


def _trackio(run_folder: Path, results: Json, series: Sequence[Series]) -> None:
    trackio = _module("trackio")
    trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", PROJECT),
        name=run_folder.name,
        config={"recipe": results["recipe"], "versions": results["versions"]},
    )
    for values in _by_step(series):
        trackio.log(values)
    trackio.finish()


_LOGGERS: Mapping[str, Callable[[Path, Json, Sequence[Series]], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def _axes(series: Sequence[Series]) -> dict[str, list[str]]:
    """For trackers whose steps only grow: each group has a step of its own, a number like any other."""
    found: dict[str, list[str]] = {}
    for one in series:
        found.setdefault(f"{one.group}/step", []).append(f"{one.group}/{one.name}")
    return found


def _by_step(series: Sequence[Series]) -> Iterator[dict[str, float]]:
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for one in series:
        for step, value in one.points:
            rows.setdefault((one.group, step), {f"{one.group}/step": step})[f"{one.group}/{one.name}"] = value
    yield from rows.values()


def _indented(value: Json) -> str:
    # Four blanks make TensorBoard show text as it is.
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1, ensure_ascii=False).splitlines())


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9+_.=-]+", "-", text).strip("-.") or "run"
