"""Say which build of torch `make` takes: print pip's option for it, and on standard error why and how to choose.

On Linux PyPI's torch brings several GB of CUDA, which a machine without an NVIDIA driver has no use for; PyTorch's own
index has a build without it. Called with ``auto``, ``cpu`` or ``cuda`` (``make TORCH=…``). Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CHOICES = ("auto", "cpu", "cuda")
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


def has_driver() -> bool:
    """Tell whether an NVIDIA driver is installed."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def reachable() -> bool:
    """Tell whether PyTorch's index of CPU builds answers."""
    try:
        with urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=10):
            return True
    except OSError:
        return False


def choose(
    torch: str,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
    driver: Callable[[], bool] = has_driver,
    answers: Callable[[], bool] = reachable,
) -> tuple[list[str], str]:
    """Return pip's options and the line that says what was chosen. Raises ValueError for a choice that is none."""
    if torch not in CHOICES:
        raise ValueError(f"TORCH={torch} is not valid: use {', '.join(CHOICES)}")
    if platform != "linux" and torch != "cuda":
        return [], ""  # PyPI's builds for other systems have no CUDA.
    if torch == "auto" and (given := [name for name in PIP_SETTINGS if environment.get(name)]):
        return [], f"torch comes from where {given[0]} says"
    if torch == "cuda" or (torch == "auto" and driver()):
        why = "as TORCH=cuda says" if torch == "cuda" else "an NVIDIA driver was found"
        return [], f"torch with CUDA, several GB ({why}; make TORCH=cpu takes the CPU build, about 200 MB)"
    why = "as TORCH=cpu says" if torch == "cpu" else "no NVIDIA driver was found; make TORCH=cuda takes the CUDA build"
    if not answers():
        return [], f"torch as pip's own index has it: {CPU_INDEX} cannot be reached ({why})"
    return ["--extra-index-url", CPU_INDEX], f"torch's CPU build, about 200 MB, from {CPU_INDEX} ({why})"


def main() -> None:
    """Print the options, and the line on standard error."""
    try:
        options, line = choose(sys.argv[1] if len(sys.argv) > 1 else "auto")
    except ValueError as error:
        sys.exit(f"sitkit: {error}")
    if line:
        sys.stderr.write(f"sitkit: {line}\n")
    sys.stdout.write(" ".join(options) + "\n")


if __name__ == "__main__":
    main()
