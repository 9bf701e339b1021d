"""Checkpoints to go on from after a kill, and errors of a full disk in the form the core knows."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.plugin_support import NOTICES

_LOG = logging.getLogger(NOTICES)

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where no more can be written."""

_OS_ERROR = re.compile(r"os error (\d+)")
_TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container|unexpected pos")

_NAME = re.compile(r"checkpoint-(\d+)")

MANIFEST = "digests.json"
"""The file of a checkpoint that says of every other one its size in bytes and its sha256. It is written last."""

_PARTS = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")
"""What a checkpoint must hold; without optimizer.pt the optimiser would start anew without a word."""


def newest(scratch: Path, stage: str, processes: int = 1) -> Path | None:
    """Return the newest checkpoint of so many processes that is as it was written, and remove those that are not.

    One is passed over too where the best one that it refers to is gone, because the best weights would be lost with it.
    A damaged one is named in a notice; one whose writing a kill has interrupted is no damage.
    """
    found = sorted(
        (int(match.group(1)), path)
        for path in scratch.glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) is not None
    )
    damaged, whole = [], {}
    for _, path in found:
        if not (path / MANIFEST).is_file():
            _LOG.info("%s of %s was not written to its end", path.name, stage)
            shutil.rmtree(path)
        elif reason := damage(path, processes):
            damaged.append(f"{path.name} ({reason})")
            shutil.rmtree(path)
        else:
            whole[path.name] = path
    for name in reversed(list(whole)):
        best = _best(whole[name])
        if best is None or best in whole:
            break
        shutil.rmtree(whole.pop(name))
        damaged.append(f"{name} (needs {best})")
    used = next(reversed(whole), None)
    if damaged:
        how = "starts anew" if used is None else f"goes on from {used}"
        _LOG.warning("%s: damaged on disk and removed: %s; the training %s", stage, ", ".join(damaged), how)
    return None if used is None else whole[used]


def latest(scratch: Path) -> Path | None:
    """Return the newest checkpoint, for one of several processes: the one that started them has called `newest`."""
    found = [path for path in scratch.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)


def seal(folder: Path) -> None:
    """Write the manifest of a checkpoint, or another folder, whose files are all written; from then on it counts."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    manifest = {path.relative_to(folder).as_posix(): [path.stat().st_size, _sha256(path)] for path in files}
    part = folder / f".{MANIFEST}"
    part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    part.replace(folder / MANIFEST)


def damage(checkpoint: Path, processes: int = 1) -> str | None:
    """Return in a few words what of a sealed checkpoint is not as it was written; None if it is whole."""
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    return changed(checkpoint, (*_PARTS, *states))


def changed(folder: Path, needed: Sequence[str]) -> str | None:
    """Return in a few words what of a sealed folder is not as it was written, or needed and not there; else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): (int(size), str(digest)) for name, (size, digest) in manifest.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    for name in needed:
        if name not in listed:
            return f"{name} is missing"
    for name, (size, digest) in listed.items():
        path = folder / name
        try:
            # The size first: what was cut short shows without reading.
            if path.stat().st_size != size or _sha256(path) != digest:
                return f"{name} has changed"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _best(checkpoint: Path) -> str | None:
    """Return the name of the checkpoint with the lowest validation loss so far, by the state of this one."""
    best = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")).get("best_model_checkpoint")
    return None if best is None else Path(best).name


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what safetensors and torch raise where a file cannot be written into OSError with its errno.

    safetensors ends its message with "(os error N)"; torch's zip writer says no reason, and a full disk is assumed.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        found = _OS_ERROR.search(str(error))
        if found is None:
            raise
        number = int(found.group(1))
        raise OSError(number, os.strerror(number)) from error
    except RuntimeError as error:
        if _TORCH_WRITER.search(str(error)) is None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
