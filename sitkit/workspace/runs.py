"""The runs of a workspace: what each is, which artifacts it refers to, what is wrong with it, and how to name one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sitkit.errors import RecipeError, RunNotFoundError, suggestion
from sitkit.execution.event_lines import RUN_LOG
from sitkit.recipe import load_recipe
from sitkit.results.files import RECIPE, RESULTS, again, read_results
from sitkit.results.model import NO_STRATEGY, Results, decoded
from sitkit.store import Store, short
from sitkit.store.usage import Entry, measure
from sitkit.types import Json

LAST = "last"
"""What names the newest finished run."""

SHOWN = ("student", "teacher", "strategy", "train_on")
"""What of its recipe a list of runs shows."""

_BEGUN = re.compile(r"^[0-9-]+ [0-9:]+ \[(\d+)/(\d+)\] ", re.MULTILINE)
_KEY = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class RunEntry:
    """A folder below ``runs``. ``keys`` hold the first digits, by which the store names folders, of its stages' keys.

    ``finished`` is when its results were written (seconds since the epoch, None while it has none), ``size`` that of
    its own folder in bytes. ``problem`` says why it cannot be used, or that it was not finished; ``unclear``: it may
    refer to more than ``keys`` says. ``recipe`` is empty where there is none to read. ``reached``: of one that was not
    finished, the last stage it has begun and how many its plan has; None where its log does not say.
    """

    name: str
    folder: Path
    keys: frozenset[str]
    size: int
    finished: float | None
    results: Results | None
    problem: str = ""
    unclear: bool = False
    recipe: Mapping[str, Json] = field(default_factory=dict)
    reached: tuple[int, int] | None = None

    @property
    def shown(self) -> dict[str, list[str]]:
        """What of its recipe a list of runs shows, as texts."""
        # Of a contest every strategy is shown, and not the first alone.
        said = {**self.recipe, "strategy": self.recipe.get("strategies") or self.recipe.get("strategy")}
        if set(self.recipe.get("methods") or ()) == {"instruct"}:
            said["strategy"] = NO_STRATEGY
        return {name: _texts(said.get(name)) for name in SHOWN}


@dataclass(frozen=True)
class Holding:
    """What a run takes: all its bytes, those of them that other runs need as well, and its number of stages."""

    size: int
    shared: int
    stages: int
    missing: int


def run_folders(workspace: Path) -> list[Path]:
    """Return the folders of the runs, the newest first, those without results last: the order of ``sitkit runs``."""
    runs = Store(workspace).runs
    if not runs.is_dir():
        return []
    found = [folder for folder in sorted(runs.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    return sorted(found, key=lambda folder: -(_finished(folder) or 0.0))


def find_run(run: str, workspace: Path) -> Path:
    """Return the folder of a finished run: by its name, its folder, ``last``, its number in ``sitkit runs`` (from 1),
    or the first letters of its name.

    Raises `RunNotFoundError` for one that is not finished, where several are meant (listing them), and where there is
    none (suggesting the nearest name).
    """
    for folder in (Store(workspace).run_folder(run), Path(run)):
        with contextlib.suppress(OSError):
            if (folder / RESULTS).is_file():
                return folder.absolute()
    folders = run_folders(workspace)
    found = _meant(run, folders)
    if len(found) > 1:
        raise RunNotFoundError(f"{run!r} may be {', '.join(sorted(folder.name for folder in found))}; say which")
    if not found:
        hint = suggestion(run, ["last", *(folder.name for folder in folders)]) if folders else "; there is none yet"
        raise RunNotFoundError(f"no run is called {run!r} in {Store(workspace).runs}{hint}")
    folder = found[0].absolute()
    if _finished(folder) is None:
        raise RunNotFoundError(f"the run {folder.name} is not finished{_how_to_go_on(folder)}")
    return folder


def list_runs(workspace: Path) -> list[RunEntry]:
    """Return the runs in the order of `run_folders`; a workspace that is not there has none."""
    return [_entry(folder) for folder in run_folders(workspace)]


def holdings(runs: Sequence[RunEntry], stored: Sequence[Entry]) -> dict[str, Holding]:
    """Return what each run takes, by name."""
    users = {entry.name: sum(entry.name in run.keys for run in runs) for entry in stored}
    found = {}
    for run in runs:
        own = [entry for entry in stored if entry.name in run.keys]
        found[run.name] = Holding(
            size=run.size + sum(entry.size for entry in own),
            shared=sum(entry.size for entry in own if users[entry.name] > 1),
            stages=len(run.results.stages) if run.results else len(run.keys),
            missing=len(run.keys - {entry.name for entry in own if entry.finished}),
        )
    return found


def orphans(runs: Sequence[RunEntry], stored: Sequence[Entry]) -> list[Entry]:
    """Return what the store holds, can be read, and no run refers to."""
    named = frozenset[str]().union(*(run.keys for run in runs))
    return [entry for entry in stored if entry.name not in named and not entry.problem]


def _finished(folder: Path) -> float | None:
    try:
        return (folder / RESULTS).stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        return 0.0


def _meant(run: str, folders: Sequence[Path]) -> list[Path]:
    exact = [folder for folder in folders if folder.name == run]
    if exact:
        return exact
    if run == LAST:
        return [folder for folder in folders if _finished(folder) is not None][:1]
    if run.isascii() and run.isdecimal() and 1 <= int(run) <= len(folders):
        return [folders[int(run) - 1]]
    return [folder for folder in folders if run and folder.name.startswith(run)]


def _entry(folder: Path) -> RunEntry:
    size, _ = measure(folder)
    path, finished = folder / RESULTS, _finished(folder)
    if finished is None:
        problem = f"not finished{_how_to_go_on(folder)}"
        recipe, reached = _recipe(folder), _reached(folder)
        return RunEntry(folder.name, folder, frozenset(), size, None, None, problem, recipe=recipe, reached=reached)
    try:
        results = read_results(folder)
    except RunNotFoundError as error:
        keys, unclear = _named(path)
        return RunEntry(folder.name, folder, keys, size, finished, None, str(error), unclear, _recipe(folder))
    return RunEntry(folder.name, folder, _keys(results), size, finished, results, recipe=results.recipe)


def _reached(folder: Path) -> tuple[int, int] | None:
    try:
        begun = _BEGUN.findall((folder / RUN_LOG).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return (int(begun[-1][0]), int(begun[-1][1])) if begun else None


def _keys(results: Results) -> frozenset[str]:
    return frozenset(short(stage.key) for stage in results.stages)


def _named(path: Path) -> tuple[frozenset[str], bool]:
    """The keys in results that cannot be used, and whether there may be more."""
    content = b""
    try:
        content = path.read_bytes()
        return _keys(decoded(content)), False
    except (OSError, ValueError, RecursionError):
        return frozenset(short(key.decode("ascii")) for key in _KEY.findall(content)), True


def _recipe(folder: Path) -> Mapping[str, Json]:
    try:
        return load_recipe(folder / RECIPE)
    except RecipeError:
        return {}


def _how_to_go_on(folder: Path) -> str:
    return f"; {again(folder, does='goes on with it')}" if (folder / RECIPE).is_file() else f" (no {RESULTS})"


def _texts(value: Json) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
