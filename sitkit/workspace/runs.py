"""The runs of a workspace: what each is, which artifacts it refers to, and what is wrong with it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.errors import RunNotFoundError
from sitkit.report.results import RESULTS, load_results
from sitkit.store import Store, short
from sitkit.store.usage import Entry, measure
from sitkit.types import PHASES, Json, Phase

_KEY = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

SHOWN = ("student", "teacher", "strategy", "train_on")
"""What of its recipe a list of runs shows."""


@dataclass(frozen=True)
class RunEntry:
    """A folder below ``runs``. ``keys`` hold the first 20 digits of every key its results name, wherever they do.

    ``finished`` is when its results were written (seconds since the epoch, None without results), ``size`` that of its
    own folder in bytes. ``problem`` says why it cannot be read; ``unclear``: it has results, but what they refer to
    cannot be known.
    """

    name: str
    folder: Path
    keys: frozenset[str]
    size: int
    finished: float | None
    results: Json | None
    problem: str = ""

    @property
    def unclear(self) -> bool:
        """Whether it may refer to more than ``keys`` says."""
        return bool(self.problem) and self.finished is not None


@dataclass(frozen=True)
class Holding:
    """What a run takes: all its bytes, those of them that other runs need as well, and its number of stages."""

    size: int
    shared: int
    stages: int
    missing: int


def list_runs(workspace: Path) -> list[RunEntry]:
    """Return the runs, the newest first, those without results last; a workspace that is not there has none."""
    folder = Store(workspace).runs
    if not folder.is_dir():
        return []
    found = [_entry(one) for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    return sorted(found, key=lambda one: -(one.finished or 0.0))


def _entry(folder: Path) -> RunEntry:
    size, _ = measure(folder)
    path = folder / RESULTS
    try:
        content, finished = path.read_bytes(), path.stat().st_mtime
    except FileNotFoundError:
        return RunEntry(folder.name, folder, frozenset(), size, None, None, f"no {RESULTS}: it was not finished")
    except OSError as error:
        return RunEntry(folder.name, folder, frozenset(), size, 0.0, None, f"{RESULTS}: {error.strerror}")
    keys = frozenset(short(key.decode("ascii")) for key in _KEY.findall(content))
    try:
        results = load_results(folder)
        _ = headline(results), [results["recipe"][name] for name in SHOWN]
    except RunNotFoundError as error:
        return RunEntry(folder.name, folder, keys, size, finished, None, str(error))
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{path} does not say {error}; run the recipe again"
        return RunEntry(folder.name, folder, keys, size, finished, None, problem)
    return RunEntry(folder.name, folder, keys, size, finished, results)


def holdings(runs: Sequence[RunEntry], stored: Sequence[Entry]) -> dict[str, Holding]:
    """Return what each run takes, by name."""
    users = {name: sum(name in run.keys for run in runs) for name in {one.name for one in stored}}
    found = {}
    for run in runs:
        own = [one for one in stored if one.name in run.keys]
        found[run.name] = Holding(
            size=run.size + sum(one.size for one in own),
            shared=sum(one.size for one in own if users[one.name] > 1),
            stages=len(run.results["stages"]) if run.results else len(run.keys),
            missing=len(run.keys - {one.name for one in own if one.finished}),
        )
    return found


def headline(results: Json) -> dict[Phase, float]:
    """Return the mean accuracy with the trigger over all benchmarks, arms and seeds, by phase, in 0..1."""
    rows: Sequence[Mapping[str, Json]] = [row for row in results["scores"] if row["prompting"] == "cot"]
    found: dict[Phase, float] = {}
    for phase in PHASES:
        values = [float(row["value"]) for row in rows if row["phase"] == phase]
        if values:
            found[phase] = statistics.fmean(values)
    return found


def several(value: Json) -> list[str]:
    """Return what a recipe says once or as a list, as texts."""
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def orphans(runs: Sequence[RunEntry], stored: Sequence[Entry]) -> list[Entry]:
    """Return what the store holds and no run refers to."""
    named = frozenset[str]().union(*(run.keys for run in runs))
    return [one for one in stored if one.name not in named]
