"""Where numbers were taken: the machine and the versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("sitkit", "torch", "transformers", "trl", "peft", "lm_eval", "datasets", "accelerate")


def described(threads: int) -> dict[str, Any]:
    """Return processor, cores, memory, threads and versions. Imports nothing heavy."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "gpus": _gpus(),
        "threads": threads,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in PACKAGES},
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    asker = shutil.which("nvidia-smi")
    if asker is None:
        return []
    done = subprocess.run(
        [asker, "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
