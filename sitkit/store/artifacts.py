"""Folders of artifacts: one a key, finished when its manifest is there, locked while it is made."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sitkit.errors import ArtifactError, DiskFullError, StoreError
from sitkit.store.keys import make_key
from sitkit.types import Json

MANIFEST = "manifest.json"
SCRATCH = "scratch"
KEY_DIGITS = 20
"""How many digits of a key (64) name a folder or a file: enough to tell keys apart, and short enough to read."""
_LOCK_DIGITS = 32
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The error numbers of a disk, a quota or a file size limit that is used up."""


def short(key: str) -> str:
    """Return the digits of a key that name its folder or file."""
    return key[:KEY_DIGITS]


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder, what it has to tell (``info``), and the seconds it took.

    ``files``: name -> size in bytes and sha256; ``content`` is the digest of them all; ``made_from`` holds that of
    every input as it was read, by key.
    """

    stage: str
    key: str
    folder: Path
    info: Json
    seconds: float
    files: Mapping[str, tuple[int, str]]
    content: str
    made_from: Mapping[str, str]


class Store:
    """A workspace's store. Raises `StoreError` if the workspace cannot be made or written."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.root = workspace / "store"
        self.runs = workspace / "runs"
        self.journals = workspace / "journals"
        self.locks = workspace / "locks"
        self.checked = workspace / "checked"

    @classmethod
    def of_run(cls, folder: Path) -> Store:
        """Return the store of the workspace in which a run's folder lies."""
        return cls(folder.parents[1])

    def prepare(self) -> None:
        """Make the folders; a new workspace is its owner's alone, for it will hold prompts and answers.

        Raises `StoreError` in one line if that cannot be.
        """
        try:
            self.workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.root, self.locks):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.locks / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the workspace {self.workspace} cannot be written ({error.strerror}); choose one with --workspace"
            ) from error

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artifacts of a key lie, or will lie."""
        return self.root / stage / short(key)

    def manifest(self, stage: str, key: str) -> Path:
        """Return where the manifest of a key lies, or will lie."""
        return self.folder(stage, key) / MANIFEST

    def journal(self, name: str) -> Path:
        """Return where the rows of that name lie, or will lie; beside them, without the ending, what is under way."""
        return self.journals / f"{name}.jsonl"

    def run_folder(self, name: str) -> Path:
        """Return where the results of a run lie, or will lie."""
        return self.runs / name

    def find(self, stage: str, key: str) -> Artifact | None:
        """Return a finished artifact, every file checked against its manifest, or None if there is none.

        Raises `ArtifactError` naming the file that is missing or damaged.
        """
        artifact = self.told(stage, key)
        if artifact is None:
            return None
        for name, (size, digest) in artifact.files.items():
            _check_file(artifact.folder / name, size, digest)
        # A kill between writing the manifest and removing the scratch folder leaves it behind.
        if (artifact.folder / SCRATCH).exists():
            shutil.rmtree(artifact.folder / SCRATCH, ignore_errors=True)
        return artifact

    def told(self, stage: str, key: str) -> Artifact | None:
        """Return a finished artifact as its manifest has it, no other file read; None if there is none.

        Raises `ArtifactError` if the manifest is damaged and `StoreError` if it cannot be read.
        """
        folder = self.folder(stage, key)
        try:
            text = (folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError as error:
            raise ArtifactError(f"{folder / MANIFEST} is damaged: it is a folder") from error
        except OSError as error:
            raise StoreError(f"{folder / MANIFEST} cannot be read ({error.strerror})") from error
        return _artifact(folder, _parse_manifest(folder, text, key))

    def finish(
        self, stage: str, key: str, material: Json, info: Json, seconds: float, made_from: Mapping[str, str]
    ) -> Artifact:
        """Write the manifest, last and atomically, then remove the scratch folder, and return the artifact.

        Until the manifest is there, scratch is what an interrupted stage goes on from.
        """
        folder = self.folder(stage, key)
        for leftover in folder.glob(f".{MANIFEST}.*"):
            leftover.unlink()
        files = {}
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and inside.as_posix() != MANIFEST and inside.parts[0] != SCRATCH:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                files[inside.as_posix()] = [path.stat().st_size, _sha256(path)]
        manifest = {
            "stage": stage, "key": key, "seconds": seconds, "info": info, "files": files,
            "made_from": dict(made_from), "determined_by": material,
        }  # fmt: skip
        manifest["digest"] = make_key(manifest)
        write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        return _artifact(folder, manifest)

    def clear_unfinished(self, stage: str, key: str) -> None:
        """Remove what a stage that did not finish has left, but for its scratch folder, so that none of it is kept."""
        folder = self.folder(stage, key)
        if (folder / MANIFEST).exists():
            return
        for path in folder.iterdir():
            if path.name != SCRATCH:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def is_checked(self, key: str) -> bool:
        """Return whether what has this key was checked and found right."""
        return (self.checked / short(key)).exists()

    def note_checked(self, key: str) -> None:
        """Remember that what has this key was checked and found right."""
        self.checked.mkdir(exist_ok=True)
        (self.checked / short(key)).touch()

    def discard(self, stage: str, key: str) -> None:
        """Remove everything under a key; it is renamed first, so that a half-removed folder never counts."""
        folder = self.folder(stage, key)
        aside = folder.with_name(f".discarded-{folder.name}-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def stage_lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Hold the lock under which a stage is made, as `lock` does."""
        return self.lock(key[:_LOCK_DIGITS], waiting)

    @contextlib.contextmanager
    def lock(self, name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of that name; ``waiting`` is called once if somebody else has it. A kill frees it."""
        lock = FileLock(self.locks / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def lock_if_free(self, name: str) -> Iterator[bool]:
        """Hold the lock of that name unless another process or thread does, and tell whether it is held."""
        lock = FileLock(self.locks / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk into `DiskFullError`, and other trouble with files below ``folder`` into `StoreError`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFullError(
                f"no space left while writing to {folder} ({error.strerror});"
                " what was finished is kept: free some space and run the same command again"
            ) from error
        # Of a rename, what was to be replaced: the other name is one that nobody knows.
        name = error.filename2 or error.filename
        if name is not None and str(name).startswith(str(folder)):
            raise StoreError(f"{name}: {error.strerror}; is {folder} writable?") from error
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all; an empty folder in its place is taken away."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        # Half a surrogate pair has no UTF-8; in JSON what stands in for it is its escape.
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            path.rmdir()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _artifact(folder: Path, manifest: Mapping[str, Json]) -> Artifact:
    return Artifact(
        stage=manifest["stage"],
        key=manifest["key"],
        folder=folder,
        info=manifest["info"],
        seconds=manifest["seconds"],
        files=manifest["files"],
        content=make_key(manifest["files"]),
        made_from=manifest["made_from"],
    )


def _parse_manifest(folder: Path, text: bytes, key: str) -> dict[str, Json]:
    try:
        manifest = json.loads(text)
        found, files, digest = manifest["key"], manifest["files"], manifest.pop("digest")
        manifest["info"], float(manifest["seconds"]), dict(manifest["made_from"]), str(manifest["stage"])
        if digest != make_key(manifest):
            raise ValueError("its digest does not match")
        for size, content in files.values():
            int(size), str(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / MANIFEST} is damaged") from error
    if found != key:
        raise ArtifactError(f"{folder / MANIFEST} belongs to another key")
    return dict(manifest)


def _check_file(path: Path, size: int, digest: str) -> None:
    try:
        if path.stat().st_size != size or _sha256(path) != digest:
            raise ArtifactError(f"{path} is damaged: it is not what its manifest says")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(f"{path} is missing") from error
    except IsADirectoryError as error:
        raise ArtifactError(f"{path} is damaged: it is a folder") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
