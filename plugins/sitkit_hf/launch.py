"""Train with several processes, one a GPU: start them with torchrun, pass on what they tell, leave none behind."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sitkit.errors import ModelError
from sitkit.execution.events import NOTICES
from sitkit.types import Progress, TrainingReport
from sitkit_hf import checkpoints
from sitkit_hf.disk import disk_errors
from sitkit_hf.job import TrainingJob, write_job
from sitkit_hf.telling import MemoryRanOutError, Told, raise_told, told_report

_LOG = logging.getLogger(NOTICES)

LOOK = 0.1
"""Seconds between two looks at what the processes tell."""

_PATIENCE = 20.0
"""Seconds that processes which were told to end may take before they are killed."""

_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def launch(job: TrainingJob, progress: Progress) -> TrainingReport:
    """Train with ``job.settings.processes`` processes on this machine.

    When memory runs out on any of them, all start again from the last checkpoint with half as many examples at a
    time. Raises what they raise, by its class (`ModelError`, `SettingError`, OSError), and `ModelError` if they end
    without a reason.
    """
    job.scratch.mkdir(parents=True, exist_ok=True)
    while True:
        checkpoints.newest(job.scratch, job.settings.processes)
        try:
            return _attempt(job, progress)
        except MemoryRanOutError as error:
            # Those that ran out with a single example raise ModelError themselves.
            job = replace(job, settings=replace(job.settings, micro_batch_size=error.micro // 2))


def _attempt(job: TrainingJob, progress: Progress) -> TrainingReport:
    job_file, tell_file, log = (job.scratch / name for name in ("job.json", "told.jsonl", "processes.log"))
    with disk_errors():
        write_job(job, job_file)
        tell_file.write_bytes(b"")
    told, report = Told(tell_file), None
    with _processes(job.settings.processes, [str(job_file), str(tell_file)], log) as torchrun:
        ended = False
        while not ended:
            # Looked at before what is told is read: nothing is told after the end.
            ended = torchrun.poll() is not None
            for one in told.new():
                raise_told(one)
                if "progress" in one:
                    progress(*one["progress"])
                elif "notice" in one:
                    _LOG.warning("%s", one["notice"])
                elif "report" in one:
                    report = told_report(one["report"])
            if not ended:
                time.sleep(LOOK)
    if report is None or torchrun.returncode:
        raise ModelError(f"{job.stage}: {_how_it_ended(log)}; what the processes wrote is in {log}")
    return report


@contextlib.contextmanager
def _processes(count: int, arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run torchrun. The processes end with this block, and by the end of their standard input with this process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc-per-node={count}", "-m", "sitkit_hf.worker", *arguments]
    # In a session of its own Ctrl-C reaches this process alone, which ends the others in order.
    with log.open("wb") as output:
        torchrun = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=_environment(), start_new_session=True
        )
    try:
        yield torchrun
    finally:
        _end(torchrun)


def _end(torchrun: subprocess.Popen[bytes]) -> None:
    if torchrun.stdin is not None:
        torchrun.stdin.close()
    try:
        torchrun.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(torchrun.pid, signal.SIGKILL)
        torchrun.wait()


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false"}
    if sys.platform in _LOOPBACK:
        # gloo otherwise asks for the address of this machine's name, which not every machine knows.
        environment.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    return environment


def _how_it_ended(log: Path) -> str:
    codes = [int(code) for code in _EXIT_CODE.findall(log.read_text(encoding="utf-8", errors="replace"))]
    if -signal.SIGKILL in codes:
        return "a training process was killed (signal 9), as systems do when memory runs out"
    if codes:
        return f"a training process ended with exit code {codes[0]}"
    return "the training processes ended without a result"
