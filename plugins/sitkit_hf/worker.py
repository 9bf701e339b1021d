"""One of several training processes: `sitkit_hf.processes` runs ``torchrun … -m sitkit_hf.worker JOB MESSAGES``."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from sitkit.errors import ModelError
from sitkit.plugin_support import NOTICES
from sitkit.types import TrainingReport
from sitkit_hf.loading import Models
from sitkit_hf.processes import TrainingJob, WorkerMessages, read_job

ENDED = 17
"""The exit code of a process whose starter is gone."""


def main(job_file: str, message_file: str) -> int:
    """Train; return the exit code. What goes wrong is written for the starter."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    rank, messages = int(os.environ["RANK"]), WorkerMessages(Path(message_file))
    try:
        job = read_job(Path(job_file))
        report = _train(job, int(os.environ["LOCAL_RANK"]), messages, first=rank == 0)
    except Exception as error:
        messages.error(error)
        return 1
    if rank == 0:
        messages.report(report)
    return 0


def _end_with_the_starter() -> None:
    # The other end of standard input is the starter's: it ends when that process does, in whatever way.
    while sys.stdin.buffer.read(1):
        pass
    os._exit(ENDED)


def _train(job: TrainingJob, local_rank: int, messages: WorkerMessages, *, first: bool) -> TrainingReport:
    models = Models(job.options, local_rank=local_rank)
    _check_devices(models, job)
    if first:
        logging.getLogger(NOTICES).addHandler(_Notices(messages))
        logging.getLogger(NOTICES).setLevel(logging.INFO)
    logging.getLogger(NOTICES).propagate = False
    shared = {
        "out": job.out,
        "scratch": job.scratch,
        "seed": job.seed,
        "progress": messages.progress if first else lambda *_: None,
    }
    if job.start is None or job.objective is None:
        from sitkit_hf.sft import instruct

        return instruct(models, job.rows, job.settings, **shared)  # type: ignore[arg-type]
    from sitkit_hf.refine import refine

    return refine(models, job.start, job.rows, job.objective, job.settings, **shared)  # type: ignore[arg-type]


def _check_devices(models: Models, job: TrainingJob) -> None:
    import torch

    wanted = job.settings.processes
    if models.device() == "mps" and wanted > 1:
        raise ModelError(f"{job.stage}.processes={wanted}: device=mps is one GPU; set it to 1")
    if models.device() != "cpu" and torch.cuda.device_count() < wanted:
        raise ModelError(
            f"{job.stage}.processes={wanted}, but {torch.cuda.device_count()} GPUs can be seen here"
            " (CUDA_VISIBLE_DEVICES picks which)"
        )


class _Notices(logging.Handler):
    def __init__(self, messages: WorkerMessages) -> None:
        super().__init__(logging.INFO)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "loss"):
            self._messages.loss(float(record.loss))
        elif record.levelno >= logging.WARNING:
            self._messages.notice(record.getMessage())


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    # What torch and NCCL tear down at exit can hang where another process has failed.
    os._exit(code)
