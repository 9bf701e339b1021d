"""Clocks, pairs and rows of the table."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table: the medians, the ratio that counts, and what it is to reach.

    ``sitkit``, ``peer`` and ``floor`` are in ``unit``. ``higher`` tells whether more is better; ``ratio`` is always "so
    many times better than the peer". ``limit`` judges ``sitkit`` itself where there is no peer. ``floor`` is what the
    bare loops reach on the same shapes, and the share of it is what is reached of it. ``samples`` are all timings.
    """

    line: str
    work: str
    unit: str
    sitkit: float
    peer: float | None = None
    goal: float | None = None
    limit: float | None = None
    floor: float | None = None
    higher: bool = False
    note: str = ""
    samples: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if self.peer is None:
            return None
        return self.sitkit / self.peer if self.higher else self.peer / self.sitkit

    @property
    def share(self) -> float | None:
        """What part of the floor's speed is reached."""
        if self.floor is None:
            return None
        return self.sitkit / self.floor if self.higher else self.floor / self.sitkit

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where the line has none."""
        if self.limit is not None:
            return self.sitkit >= self.limit if self.higher else self.sitkit <= self.limit
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal


@dataclass(frozen=True)
class Options:
    """How much to measure: pairs of runs, whether small work will do, threads, where the work lies, which, and on what.

    ``works`` are of lines that have several; ``device`` is "cpu" or "cuda".
    """

    pairs: int
    quick: bool
    threads: int
    folder: Path
    data: Path | None
    works: tuple[str, ...]
    device: str


CPU_CLOCK = "SITKIT_BENCH_CPU"
"""The environment variable that has this process's CPU seconds counted in place of the wall clock."""


def clock() -> float:
    """Return seconds of the clock that counts."""
    return time.process_time() if os.environ.get(CPU_CLOCK) else time.perf_counter()


def in_turn(pairs: int, sides: Mapping[str, Callable[[], float | None]]) -> dict[str, list[float]]:
    """Run the sides in turn, the order turned round each time, and return the seconds each took.

    A side may return its own seconds where part of what it does is not to be measured.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(pairs):
        for name in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            started = clock()
            own = sides[name]()
            taken[name].append(clock() - started if own is None else own)
            tell(f"  pair {turn + 1} of {pairs}, {name}: {taken[name][-1]:.2f} s")
    return taken


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each side."""
    return {name: statistics.median(values) for name, values in samples.items()}


@dataclass(frozen=True)
class Done:
    """What a process took: seconds on the wall and of CPU, and its peak memory in MiB."""

    seconds: float
    cpu: float
    memory: float


def run(command: Sequence[str], log: Path, **environment: str) -> Done:
    """Run a program to its end. Raises `RuntimeError` with the log's last lines if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{log.read_text(errors='replace')[-3000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    seconds = cpu if os.environ.get(CPU_CLOCK) else seconds
    return Done(seconds, cpu, _mebibytes(usage.ru_maxrss))


def _mebibytes(maxrss: int) -> float:
    # Linux counts in KiB, macOS in bytes.
    return maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_memory() -> float:
    """Return this process's peak memory so far, in MiB."""
    return _mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def program(name: str) -> str:
    """Return the path of a program installed beside this Python."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def tell(text: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
