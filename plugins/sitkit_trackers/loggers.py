"""Send a finished run to TensorBoard, wandb and trackio."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sitkit.errors import PluginError, SitkitError, StoreError
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.types import Json
from sitkit_trackers import TENSORBOARD, check_trackers
from sitkit_trackers.series import SCORES, Series, counts, curves, scores

PROJECT = "sitkit"


def log_run(trackers: Sequence[str], folder: Path, results: Results) -> None:
    """Send a finished run to the trackers; names that only trainers report to are passed over.

    TensorBoard's event files lie in ``RUN/tensorboard``, written anew each time; wandb and trackio get one run of the
    run's name in the project WANDB_PROJECT or TRACKIO_PROJECT (else "sitkit"), at their own places. Accuracies stand
    at step 0 (baseline), 1 (instruct) and 2 (refine). Raises `SettingError` for a tracker that is unknown or not
    installed, `StoreError` if files cannot be written, and `PluginError` for whatever else a tracker raises.
    """
    check_trackers(list(trackers))
    series = [*scores(results), *counts(results), *curves(results, StoredRows(folder.parents[1]))]
    for name in dict.fromkeys(trackers):
        try:
            if name in _LOGGERS:
                _LOGGERS[name](folder, results, series)
        except SitkitError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise StoreError(f"{error.filename}: {error.strerror}; the run itself is complete") from error
            # Other people's code, and often a network: what it raises must not look like a lost run.
            said = f"{type(error).__name__}: {error}"
            raise PluginError(f"the tracker {name} failed with {said}; the run itself is complete") from error


def _module(name: str) -> Any:
    # None of the trackers comes with sitkit.
    return importlib.import_module(name)


def _tensorboard(run_folder: Path, results: Results, series: Sequence[Series]) -> None:
    event = _module("tensorboard.compat.proto.event_pb2").Event
    summary = _module("tensorboard.compat.proto.summary_pb2").Summary
    text_summary = _module("tensorboard.plugins.text.summary_v2").text_pb
    event_writer = _module("tensorboard.summary.writer.event_file_writer").EventFileWriter
    folder = run_folder / TENSORBOARD
    # A second file beside those of an earlier time would draw every curve twice.
    shutil.rmtree(folder, ignore_errors=True)
    for group in dict.fromkeys(entry.group for entry in series):
        writer = event_writer(str(folder / _slug(group)))
        try:
            for entry in series:
                for step, value in entry.points if entry.group == group else ():
                    scalar = summary(value=[summary.Value(tag=entry.name, simple_value=value)])
                    writer.add_event(event(step=step, wall_time=time.time(), summary=scalar))
            if group.startswith(SCORES):
                for name, value in _about(results).items():
                    text = text_summary(name, _indented(value))
                    writer.add_event(event(step=0, wall_time=time.time(), summary=text))
        finally:
            writer.close()


def _wandb(run_folder: Path, results: Results, series: Sequence[Series]) -> None:
    wandb = _module("wandb")
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run_folder.name,
        dir=str(run_folder),
        config=_about(results),
        reinit="finish_previous",
    )
    for axis, names in _axes(series).items():
        run.define_metric(axis, hidden=True)
        for name in names:
            run.define_metric(name, step_metric=axis)
    for values in _by_step(series):
        run.log(values)
    run.finish()


def _trackio(run_folder: Path, results: Results, series: Sequence[Series]) -> None:
    trackio = _module("trackio")
    trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", PROJECT), name=run_folder.name, config=_about(results)
    )  # fmt: skip
    for values in _by_step(series):
        trackio.log(values)
    trackio.finish()


_LOGGERS: Mapping[str, Callable[[Path, Results, Sequence[Series]], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def _about(results: Results) -> dict[str, Json]:
    return {"recipe": results.recipe, "versions": dict(results.versions)}


def _axes(series: Sequence[Series]) -> dict[str, list[str]]:
    """For trackers whose steps only grow: each group has a step of its own, a number like any other."""
    found: dict[str, list[str]] = {}
    for entry in series:
        found.setdefault(f"{entry.group}/step", []).append(f"{entry.group}/{entry.name}")
    return found


def _by_step(series: Sequence[Series]) -> Iterator[dict[str, float]]:
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for entry in series:
        for step, value in entry.points:
            row = rows.setdefault((entry.group, step), {f"{entry.group}/step": step})
            row[f"{entry.group}/{entry.name}"] = value
    yield from rows.values()


def _indented(value: Json) -> str:
    # Four blanks make TensorBoard show text as it is.
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1, ensure_ascii=False).splitlines())


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9+_.=-]+", "-", text).strip("-.") or "run"
