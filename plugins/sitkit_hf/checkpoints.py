"""Checkpoints to go on from after a kill, and errors of a full disk in the form the core knows."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where no more can be written."""

_OS_ERROR = re.compile(r"os error (\d+)")
_TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container|unexpected pos")


_NAME = re.compile(r"checkpoint-(\d+)")

_PARTS = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt")
"""What a checkpoint must hold beside trainer_state.json; without optimizer.pt the optimiser would start anew."""


def newest(scratch: Path, processes: int = 1) -> Path | None:
    """Return the newest whole checkpoint of so many processes in the folder, and remove those that are not whole."""
    found = sorted(
        (int(match.group(1)), path)
        for path in scratch.glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) is not None
    )
    whole = None
    for _, path in found:
        if is_whole(path, processes):
            whole = path
        else:
            shutil.rmtree(path)
    return whole


def is_whole(checkpoint: Path, processes: int = 1) -> bool:
    """Tell whether the checkpoint was written to its end: trainer_state.json is written last and must parse.

    Beside it, every process writes the state of its random numbers.
    """
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    if not all((checkpoint / part).is_file() for part in (*_PARTS, *states)):
        return False
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and "global_step" in state


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
