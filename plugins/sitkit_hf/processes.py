"""Train with several processes, one a GPU: hand the job over, start them with torchrun, read their messages.

A job is a file of JSON; messages are lines of JSON in a file that all processes append to. `sitkit_hf.worker` is what
they run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sitkit.errors import ModelError, SettingError, SitkitError
from sitkit.plugin_support import NOTICES, tell_loss
from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Json, Objective, PreferencePair, Progress, TrainingReport
from sitkit_hf import checkpoints
from sitkit_hf.checkpoints import disk_errors
from sitkit_hf.memory import MemoryRanOutError
from sitkit_hf.options import Options

_LOG = logging.getLogger(NOTICES)

LOOK = 0.1
"""Seconds between two looks at the messages."""

_SECONDS = 0.2
"""Seconds between two messages of progress, at least."""

_PATIENCE = 20.0
"""Seconds that processes which were told to end may take before they are killed."""

_ERRORS: dict[str, type[SitkitError]] = {kind.__name__: kind for kind in (ModelError, SettingError)}
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """The arguments of `sitkit.types.Student.instruct` or ``refine``, without the callbacks.

    ``rows`` are demonstrations or pairs; ``start`` and ``objective`` belong to a refining.
    """

    stage: Literal["instruct", "refine"]
    options: Options
    settings: InstructSettings | RefineSettings
    rows: tuple[Demonstration | PreferencePair, ...]
    out: Path
    scratch: Path
    seed: int
    start: Path | None = None
    objective: Objective | None = None


def write_job(job: TrainingJob, path: Path) -> None:
    """Write the job; paths are made absolute."""
    path.write_text(json.dumps(dataclasses.asdict(job), default=_plain), encoding="utf-8")


def read_job(path: Path) -> TrainingJob:
    """Read what `write_job` wrote."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    refines = plain["stage"] == "refine"
    settings, row = (RefineSettings, PreferencePair) if refines else (InstructSettings, Demonstration)
    options = plain["options"]
    for name in ("folder", "gguf", "recommended"):
        options[name] = None if options[name] is None else Path(options[name])
    objective = plain["objective"]
    return TrainingJob(
        stage=plain["stage"],
        options=Options(**options),
        settings=settings(**plain["settings"]),
        rows=tuple(row(**fields) for fields in plain["rows"]),
        out=Path(plain["out"]),
        scratch=Path(plain["scratch"]),
        seed=plain["seed"],
        start=None if plain["start"] is None else Path(plain["start"]),
        objective=None
        if objective is None
        else Objective(tuple(objective["loss"]), tuple(objective["weights"]), objective["beta"]),
    )


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class WorkerMessages:
    """What a training process writes for the one that started it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._last = 0.0

    def progress(self, done: int, total: int) -> None:
        """Write how many steps are done; a `Progress`."""
        if done in (0, total) or time.monotonic() - self._last > _SECONDS:
            self._last = time.monotonic()
            self._write(progress=[done, total])

    def loss(self, loss: float) -> None:
        """Write the loss of the last steps."""
        self._write(loss=loss)

    def notice(self, text: str) -> None:
        """Write something the user should know."""
        self._write(notice=text)

    def report(self, report: TrainingReport) -> None:
        """Write that the training is done."""
        self._write(report=dataclasses.asdict(report))

    def error(self, error: BaseException) -> None:
        """Write why the training failed, as data that `raise_error` turns into an exception again."""
        if isinstance(error, MemoryRanOutError):
            self._write(out_of_memory=error.micro)
        elif isinstance(error, SitkitError):
            self._write(error=type(error).__name__, text=str(error))
        elif isinstance(error, OSError) and error.errno is not None:
            self._write(errno=error.errno, text=error.strerror or "", file=error.filename and str(error.filename))
        else:
            self._write(error="", text=f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _write(self, **message: Json) -> None:
        # One write of one line, so that lines of several processes do not mix.
        os.write(self._file, (json.dumps(message) + "\n").encode())


class MessageReader:
    """Reads the messages that were appended since it last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the whole lines that are new."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)


def raise_error(message: dict[str, Any]) -> None:
    """Raise the error that a message holds, if it holds one."""
    if "out_of_memory" in message:
        raise MemoryRanOutError(message["out_of_memory"])
    if "errno" in message:
        raise OSError(message["errno"], message["text"], message["file"])
    if message.get("error"):
        raise _ERRORS.get(message["error"], ModelError)(message["text"])
    if "error" in message:
        raise RuntimeError(message["text"])


def launch(job: TrainingJob, progress: Progress) -> TrainingReport:
    """Train with ``job.settings.processes`` processes on this machine.

    When memory runs out on any of them, all start again from the last checkpoint with half as many examples at a
    time. Raises what they raise, by its class (`ModelError`, `SettingError`, OSError), and `ModelError` if they end
    without a reason.
    """
    job.scratch.mkdir(parents=True, exist_ok=True)
    while True:
        checkpoints.newest(job.scratch, job.stage, job.settings.processes)
        try:
            return _attempt(job, progress)
        except MemoryRanOutError as error:
            # Those that ran out with a single example raise ModelError themselves.
            job = replace(job, settings=replace(job.settings, micro_batch_size=error.micro // 2))


def _attempt(job: TrainingJob, progress: Progress) -> TrainingReport:
    job_file, message_file, log = (job.scratch / name for name in ("job.json", "messages.jsonl", "processes.log"))
    with disk_errors():
        write_job(job, job_file)
        message_file.write_bytes(b"")
    messages, report = MessageReader(message_file), None
    with _processes(job.settings.processes, [str(job_file), str(message_file)], log) as torchrun:
        ended = False
        while not ended:
            # Looked at before the messages are read: none is written after the end.
            ended = torchrun.poll() is not None
            for message in messages.new():
                raise_error(message)
                if "progress" in message:
                    progress(*message["progress"])
                elif "loss" in message:
                    tell_loss(message["loss"])
                elif "notice" in message:
                    _LOG.warning("%s", message["notice"])
                elif "report" in message:
                    report = TrainingReport(**message["report"])
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
