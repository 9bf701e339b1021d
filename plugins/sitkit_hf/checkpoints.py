"""Checkpoints to go on from after a kill."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

_NAME = re.compile(r"checkpoint-(\d+)")

_PARTS = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")
"""What a checkpoint must hold beside trainer_state.json; without optimizer.pt the optimiser would start anew."""


def newest(scratch: Path) -> Path | None:
    """Return the newest whole checkpoint in the folder, and remove those that are not whole."""
    found = sorted(
        (int(match.group(1)), path)
        for path in scratch.glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) is not None
    )
    whole = None
    for _, path in found:
        if is_whole(path):
            whole = path
        else:
            shutil.rmtree(path)
    return whole


def is_whole(checkpoint: Path) -> bool:
    """Tell whether the checkpoint was written to its end: trainer_state.json is written last and must parse."""
    if not all((checkpoint / part).is_file() for part in _PARTS):
        return False
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and "global_step" in state
