"""Checkpoints to go on from after a kill."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

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
