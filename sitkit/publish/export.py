"""Write one student of a run as a folder with its model card."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sitkit.capabilities import CardFacts, ModelFacts
from sitkit.components import Component
from sitkit.errors import RecipeError, RunNotFoundError, StoreError
from sitkit.publish.card import README, Exported, model_card
from sitkit.registry import Registry
from sitkit.results.arms import Chosen, by_first_names, choose
from sitkit.results.files import again, load_results, workspace_of
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.spec import parse_spec
from sitkit.stages.evaluate import TASKS, Evaluate
from sitkit.stages.training import ADAPTER
from sitkit.store import Store, disk_errors
from sitkit.store.removal import EXPORT
from sitkit.store.usage import in_use
from sitkit.types import Phase, Student


def export(
    results_folder: Path,
    directory: Path,
    *,
    phase: Phase = "refine",
    merge: bool = False,
    registry: Registry,
    wanted: Mapping[str, Any] | None = None,
    questions: bool = True,
) -> Path:
    """Write the student of a phase to ``directory``, as an adapter or merged into its base model; return the folder.

    ``results_folder`` is the run's. ``wanted`` says which student, where there are several, by the names of
    `sitkit.results.arms.PICKERS` (None: any). README.md is its model card, unless the student writes its own. Of own
    benchmarks the lm-eval tasks that scored it lie beside it, test questions included, unless ``questions`` is false.
    The folder is there whole or not at all. Raises `RecipeError` where it is not empty or several students fit,
    `RunNotFoundError` where the student is not stored, and what the student raises.
    """
    results = load_results(results_folder, registry)
    store = Store(workspace_of(results_folder))
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RecipeError(f"{directory} is not an empty folder; choose another")
    with staging(store) as staged:
        with stored_student(results_folder, results, phase, registry, wanted or {}) as (component, adapter, chosen):
            with component.calling("export"), disk_errors(staged):
                component.made.export(adapter, staged, merge=merge)
                if questions:
                    _copy_tasks(staged, phase, chosen, results, store)
            _write_card(component, staged, directory.name, phase, chosen, results, store)
        with disk_errors(directory.parent):
            moved(staged, directory)
    return directory


@contextlib.contextmanager
def stored_student(
    results_folder: Path, results: Results, phase: Phase, registry: Registry, wanted: Mapping[str, Any]
) -> Iterator[tuple[Component[Student], Path, Chosen]]:
    """Yield a student of a run, its adapter's folder in the store, and which one it is; raises as `export` does."""
    asked = by_first_names(wanted, registry, results.recipe.get("questions", ()))
    chosen = choose(results, phase, asked, results_folder.name)
    artifact = Store(workspace_of(results_folder)).find(phase, chosen.key)
    if artifact is None:
        raise RunNotFoundError(
            f"the {phase} stage of {results_folder.name} is not in its store; {again(results_folder)}"
        )
    spec = parse_spec(chosen.arm.student)
    student = registry.student(spec)
    distribution = registry.component("student", spec.name).provider.distribution
    try:
        yield (
            Component("student", chosen.arm.student, student, {"distribution": distribution}),
            artifact.folder / ADAPTER,
            chosen,
        )
    finally:
        student.close()


def _copy_tasks(folder: Path, phase: Phase, chosen: Chosen, results: Results, store: Store) -> None:
    """Copy the tasks that were made for own benchmarks from the stages that scored this student."""
    found = results.narrowed(chosen.arm, chosen.lesson.seed)
    for key in dict.fromkeys(key for cell in found.cells if cell.phase == phase for key in cell.keys):
        scored = store.find(Evaluate.name, key)
        if scored is not None and (scored.folder / TASKS).is_dir():
            shutil.copytree(scored.folder / TASKS, folder / TASKS, dirs_exist_ok=True)


@contextlib.contextmanager
def staging(store: Store) -> Iterator[Path]:
    """Yield a folder to write to, which is gone afterwards: in the workspace, where `sitkit clean` finds what a kill
    leaves, or among the system's temporary ones where the workspace can only be read.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(in_use(store))
        except StoreError:
            parent = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sitkit-export-")))
        else:
            parent = store.workspace / f"{EXPORT}{os.getpid()}-{time.monotonic_ns()}"
            stack.callback(shutil.rmtree, parent, ignore_errors=True)
        yield parent / "student"


def _write_card(
    component: Component[Student],
    folder: Path,
    title: str,
    phase: Phase,
    chosen: Chosen,
    results: Results,
    store: Store,
) -> None:
    path = folder / README
    # A student's plugin may have more to say of its models than we know.
    if path.exists():
        return
    facts = ModelFacts()
    if isinstance(component.made, CardFacts):
        with component.calling("card_facts"):
            facts = component.made.card_facts(folder)
    exported = Exported(title, folder, phase, chosen, results, StoredRows(store.workspace), facts)
    path.write_text(model_card(exported), encoding="utf-8")


def moved(staged: Path, directory: Path) -> None:
    """Put what was made ready in its place, at once."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        directory.rmdir()
    try:
        staged.rename(directory)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # On another file system a rename has to be within that one.
        partial = directory.with_name(f".{directory.name}.{os.getpid()}")
        try:
            shutil.copytree(staged, partial)
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
