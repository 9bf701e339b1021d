"""What lies in a workspace's store, how large it is, and whether somebody is using it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sitkit.store.artifacts import KEY_DIGITS, MANIFEST, Store

_SHOWN = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")
_CLEANING = "cleaning"
_RUNNING = "running-"


@dataclass(frozen=True)
class Entry:
    """A folder of the store: ``name`` holds the first 20 digits of its key, ``size`` is in bytes.

    ``changed`` is when its newest file was last written (seconds since the epoch); ``finished``: its manifest is
    there, otherwise it is what an interrupted stage goes on from. ``problem`` says why it cannot be read; where that is
    the folder of a whole stage, ``name`` is empty.
    """

    stage: str
    name: str
    folder: Path
    size: int
    changed: float
    finished: bool
    problem: str = ""


def entries(store: Store) -> list[Entry]:
    """Return what the store holds, in a fixed order; links are left out: what they point to is not the store's.

    A folder that cannot be read is an entry with a ``problem``, and hides no other.
    """
    found = []
    for stage in _folders(store.root):
        try:
            folders = [folder for folder in _folders(stage) if _SHOWN.fullmatch(folder.name)]
        except OSError as error:
            found.append(_unreadable(stage.name, "", stage, error))
            continue
        for folder in folders:
            try:
                # What `measure` passes over, this names.
                os.scandir(folder).close()
                size, changed = measure(folder)
                finished = (folder / MANIFEST).is_file()
            except FileNotFoundError:
                continue
            except OSError as error:
                found.append(_unreadable(stage.name, folder.name, folder, error))
            else:
                found.append(Entry(stage.name, folder.name, folder, size, changed, finished))
    return found


def _unreadable(stage: str, name: str, folder: Path, error: OSError) -> Entry:
    problem = f"{folder} cannot be read ({error.strerror})"
    return Entry(stage, name, folder, 0, 0.0, finished=False, problem=problem)


def measure(path: Path) -> tuple[int, float]:
    """Return the bytes below a path and when the newest file there was written; links are not followed."""
    size, changed = 0, 0.0
    for one in (path, *_below(path)):
        # Somebody may be writing here: what is gone by now has no size.
        with contextlib.suppress(FileNotFoundError):
            found = one.lstat()
            if not stat.S_ISDIR(found.st_mode):
                size += found.st_size
            changed = max(changed, found.st_mtime)
    return size, changed


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def _folders(parent: Path) -> list[Path]:
    if parent.is_symlink() or not parent.is_dir():
        return []
    return sorted(one for one in parent.iterdir() if one.is_dir() and not one.is_symlink())


@contextlib.contextmanager
def in_use(store: Store, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Mark the store as used by a run, from its first look into it until its results are written.

    What a run has reused or made is named nowhere before that, so nobody may clean up meanwhile; many runs may go
    on at once. A kill frees the mark. ``waiting`` is called if the store is being cleaned up.
    """
    store.prepare()
    name = f"{_RUNNING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with contextlib.ExitStack() as stack:
            with store.lock(_CLEANING, waiting):
                stack.enter_context(store.lock(name))
            yield
    finally:
        # Windows does not let go of a file that somebody looks at just now; the next clean-up takes it along.
        with contextlib.suppress(OSError):
            (store.locks / f"{name}.lock").unlink()


@contextlib.contextmanager
def cleaning(store: Store) -> Iterator[bool]:
    """Keep runs from starting, and yield whether none is under way, and no other clean-up."""
    if not store.locks.is_dir():
        yield True
        return
    with store.lock_if_free(_CLEANING) as free:
        yield free and not any(_is_held(store, path) for path in lock_files(store))


def lock_files(store: Store) -> list[Path]:
    """Return the files of all locks but the one held while cleaning."""
    return sorted(path for path in store.locks.glob("*.lock") if path.stem != _CLEANING and not path.is_symlink())


def _is_held(store: Store, path: Path) -> bool:
    with store.lock_if_free(path.stem) as free:
        return not free
