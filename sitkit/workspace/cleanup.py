"""What can be removed from a workspace: worked out first, shown to the user, then carried out."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sitkit.errors import RunNotFoundError, StoreError, UsageError, suggestion
from sitkit.store import Store
from sitkit.store.removal import Trash, half_written, leftovers, remove
from sitkit.store.usage import cleaning, entries, lock_files, measure
from sitkit.workspace.runs import RunEntry, list_runs, orphans

DAY = 86400.0

ANSWERS, LEFT_OVER = "teacher's answers", "left over"
OTHER = (ANSWERS, LEFT_OVER)
"""The kinds of what is neither a run nor a stage."""


@dataclass(frozen=True)
class Item:
    """Something to remove. ``kind``: run, a stage's name, unfinished, or one of `OTHER`."""

    kind: str
    path: Path
    size: int
    changed: float


@dataclass(frozen=True)
class Cleanup:
    """What would be removed, what is kept although no run refers to it because it is young, and what to know."""

    items: tuple[Item, ...]
    young: tuple[Item, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes that would be freed."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True)
class CleanRequest:
    """What the user asks for: runs by name (none: whatever no run refers to), and the teachers' answers too or not.

    What no run refers to and the teachers' answers go only where they have not changed for ``older_than`` seconds.
    """

    workspace: Path
    runs: tuple[str, ...] = ()
    journals: bool = False
    older_than: float = 7 * DAY

    def __post_init__(self) -> None:
        if not math.isfinite(self.older_than):
            raise UsageError(f"an age in days must be a number, got {self.older_than}")


def plan_cleanup(request: CleanRequest, now: float) -> Cleanup:
    """Return what can be removed. Raises `RunNotFoundError` for an unknown run and `StoreError` for one that is a link.

    A run's artifacts are those whose keys its results name; what another run names stays.
    """
    store, runs = Store(request.workspace), list_runs(request.workspace)
    chosen = [_find(name, runs, request.workspace) for name in dict.fromkeys(request.runs)]
    others = [run for run in runs if run not in chosen]
    stored, notes = entries(store), list[str]()
    notes += [f"{entry.problem}; it stays" for entry in stored if entry.problem]
    unused = orphans(others, stored)
    if request.runs:
        own = frozenset[str]().union(*(run.keys for run in chosen))
        unused = [one for one in unused if one.name in own]
    unclear = [run.name for run in others if run.unclear]
    if unclear and unused:
        notes.append(
            f"{', '.join(unclear)} cannot be read, so nobody knows which stages it needs: no stage is removed; repair"
            f" it, or remove it first (sitkit clean {unclear[0]})"
        )
        unused = []
    made = [Item(one.stage if one.finished else "unfinished", one.folder, one.size, one.changed) for one in unused]
    before = now - request.older_than
    journals = _journals(store) if request.journals else []
    old, young = _by_age(journals, before)
    if not request.runs:
        made += [_item(LEFT_OVER, path) for path in half_written(store)]
        made, kept = _by_age(made, before)
        young = [*kept, *young]
        old += [_item(LEFT_OVER, path) for path in (*leftovers(request.workspace), *_discarded(store))]
    items = [*(Item("run", run.folder, run.size, run.finished or 0.0) for run in chosen), *made, *old]
    return Cleanup(tuple(items), tuple(young), tuple(notes))


def carry_out(request: CleanRequest, shown: Cleanup, now: float) -> Cleanup:
    """Remove what was shown and still can be removed, and return it.

    Raises `StoreError`, having removed nothing, while a run is under way: what it has reused or made so far is named
    nowhere yet.
    """
    store = Store(request.workspace)
    with cleaning(store) as alone:
        if not alone:
            raise StoreError(busy(request.workspace))
        seen = {item.path for item in shown.items}
        plan = plan_cleanup(request, now)
        removed = tuple(item for item in plan.items if item.path in seen)
        _check_writable(request.workspace, removed)
        trash = Trash(request.workspace)
        try:
            for item in removed:
                if item.kind == LEFT_OVER:
                    remove(item.path)
                else:
                    trash.put(item.path)
        finally:
            trash.empty()
        if not request.runs:
            _remove_locks(store)
    return Cleanup(removed, plan.young, plan.notes)


def busy(workspace: Path) -> str:
    """Return the sentence that says why nothing can be removed now."""
    return (
        f"a run is under way in {workspace} (or another clean-up), and which stages it needs is not written down"
        " yet: nothing is removed; try again when it is done"
    )


def _check_writable(workspace: Path, items: Iterable[Item]) -> None:
    """Raise `StoreError` where some of it could not be removed, before a run is gone and its stages stay."""
    for folder in dict.fromkeys((workspace, *(item.path.parent for item in items))):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"{folder} cannot be written, so nothing is removed")


def _find(name: str, runs: Sequence[RunEntry], workspace: Path) -> RunEntry:
    found = next((run for run in runs if run.name == name), None)
    if found is None:
        hint = suggestion(name, [run.name for run in runs]) if runs else "; there is none yet"
        raise RunNotFoundError(f"no run is called {name!r} in {Store(workspace).runs}{hint}")
    if found.folder.is_symlink():
        raise StoreError(f"{found.folder} is a link; remove the link or what it leads to yourself")
    return found


def _journals(store: Store) -> list[Item]:
    folder = store.journals
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [_item(ANSWERS, path) for path in sorted(folder.iterdir()) if not path.is_symlink()]


def _discarded(store: Store) -> list[Path]:
    if store.root.is_symlink():
        return []
    return sorted(path for path in store.root.glob("*/.discarded-*") if not path.parent.is_symlink())


def _item(kind: str, path: Path) -> Item:
    size, changed = measure(path)
    return Item(kind, path, size, changed)


def _by_age(items: Iterable[Item], before: float) -> tuple[list[Item], list[Item]]:
    old, young = list[Item](), list[Item]()
    for item in items:
        (old if item.changed < before else young).append(item)
    return old, young


def _remove_locks(store: Store) -> None:
    # Nobody waits for them: runs start only when this is over, and whoever is there is noticed by his lock.
    for path in lock_files(store):
        with contextlib.suppress(Timeout, OSError), FileLock(path, timeout=0):
            path.unlink()
