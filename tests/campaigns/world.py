"""What every campaign needs: programs that can be killed, a finished workspace, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.installed import register

TESTS = Path(__file__).parents[1]
PARTS = ("--teacher", "speller,slips=5", "--student", "counter", "--strategy", "spelled-first")
RUN = ("run", *PARTS, "--train-on", "letters", "--eval-teacher", "--name", "r")
PATIENCE = 120.0
"""Seconds after which a program that has not ended is taken to hang."""

_NUMBERS = ("cells", "changes", "pairs", "training", "demonstrations", "teacher_scores", "duplicates", "tasks")
_PASSING = re.compile(r"(^|/)(locks/.*|\.sitkit.*|journals/.*\.damaged)$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass
class Trial:
    """What was tried; ``wrong`` says what did not hold, and is empty where all did. ``codes`` counts exit codes."""

    campaign: str
    what: str
    wrong: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def note(self, done: Done, *, allowed: Sequence[int] = (0, 2)) -> Done:
        """Count how a program ended and hold it against what every program must keep to."""
        code = "hung" if done.hung else "killed" if done.code == -signal.SIGKILL else str(done.code)
        self.codes[code] = self.codes.get(code, 0) + 1
        said = " | ".join(done.stderr.strip().splitlines()[-2:])[-500:]
        if done.hung:
            self.wrong.append(f"{done.shown}: did not end in {PATIENCE:g} s")
        elif done.code not in (*allowed, -signal.SIGKILL):
            self.wrong.append(f"{done.shown}: exit code {done.code}: {said}")
        if "Traceback" in done.stderr or "internal error" in done.stderr:
            self.wrong.append(f"{done.shown}: {said}")
        if _CONTROL.search(done.stderr.replace("\r", "")):
            self.wrong.append(f"{done.shown}: control characters on standard error")
        if len(done.stderr) > 100_000:
            self.wrong.append(f"{done.shown}: {len(done.stderr):,} characters on standard error")
        return done

    def check(self, holds: bool, otherwise: str) -> None:
        """Note that something did not hold."""
        if not holds:
            self.wrong.append(otherwise)


@dataclass
class Done:
    """How a program ended; a negative code is the signal that ended it."""

    shown: str
    code: int
    stdout: str
    stderr: str
    hung: bool = False


class Program:
    """``sitkit`` in a forked process, which has everything imported already and can be killed at any moment."""

    def __init__(self, world: World, arguments: Sequence[str], *, file_size: int | None = None) -> None:
        self._shown = " ".join(arguments)[:300]
        # Pipes, since a limit on the size of files would cut what is printed as well.
        pipes = [os.pipe(), os.pipe()]
        self._said = {reader: bytearray() for reader, _ in pipes}
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                code = self._become(world, arguments, file_size, [writer for _, writer in pipes])
            finally:
                os._exit(code)
        for reader, writer in pipes:
            os.close(writer)
            os.set_blocking(reader, False)

    def _become(self, world: World, arguments: Sequence[str], file_size: int | None, output: Sequence[int]) -> int:
        os.chdir(world.folder / "cwd")
        for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), *output)):
            os.dup2(source, number)
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(number, mode), encoding="utf-8", line_buffering=True)
            for number, mode in ((0, "rb"), (1, "wb"), (2, "wb"))
        )
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        from sitkit.cli.main import run

        code = run(arguments)
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        return code

    def end(self, after: float | None = None, by: int = signal.SIGKILL) -> Done:
        """Wait for the end; with ``after``, send the signal after so many seconds."""
        start, sent, hung, status = time.monotonic(), False, False, 0
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._read()
            if pid:
                break
            passed = time.monotonic() - start
            if after is not None and not sent and passed >= after:
                os.kill(self.pid, by)
                sent = True
            if passed > PATIENCE:
                hung = True
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        for reader in self._said:
            os.close(reader)
        out, err = (bytes(said).decode("utf-8", "replace") for said in self._said.values())
        return Done(self._shown, os.waitstatus_to_exitcode(status), out, err, hung)

    def _read(self) -> None:
        for reader, said in self._said.items():
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(reader, 65_536):
                    said += piece


class World:
    """A folder for everything, the example plugin and a judge installed in it, and undisturbed runs to compare with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self.served: list[int] = []
        site = folder / "site"
        shutil.copytree(TESTS / "example_plugin" / "src" / "sitkit_example", site / "sitkit_example")
        shutil.copy(TESTS / "judge_plugin.py", site / "judge_plugin.py")
        register(site, "sitkit-example", ["sitkit_example"])
        register(site, "rule-judge", ["judge_plugin"])
        sys.path.insert(0, str(site))
        (folder / "cwd").mkdir()
        (folder / "notes").mkdir()
        self.judge = ("judge", "r", "--judge", f"rule:{folder / 'notes'}", "--prompting", "both")
        self._warm()
        self.reference = cache(self._reference)
        self.seconds = cache(self._seconds)

    def _warm(self) -> None:
        """Import in this process whatever a run, a judge and a report import, so that a fork has it."""
        from sitkit.cli.main import run

        workspace = str(self.folder / "warm")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            for command in (RUN, self.judge, ("report", "r"), ("runs",), ("clean", "--dry-run")):
                if run([*command, "--workspace", workspace]) != 0:
                    raise RuntimeError(f"{command[0]} fails undisturbed: {said.getvalue()}")

    def temporary(self, name: str) -> Path:
        """Return a path that is not there yet."""
        self._count += 1
        return self.folder / f"{name}-{self._count}"

    def start(self, *arguments: str, **more: Any) -> Program:
        """Start a program."""
        return Program(self, arguments, **more)

    def run(self, *arguments: str, **more: Any) -> Done:
        """Run a program to its end."""
        return self.start(*arguments, **more).end()

    def finished(self) -> Path:
        """Return a copy of a workspace with a run "r" that was judged."""
        workspace = self.temporary("w")
        shutil.copytree(self._finished(), workspace)
        return workspace

    def _finished(self) -> Path:
        workspace = self.folder / "finished"
        if not workspace.exists():
            for command in (RUN, self.judge):
                done = self.run(*command, "--workspace", str(workspace))
                if done.code != 0:
                    raise RuntimeError(f"{command[0]} fails undisturbed: {done.stderr}")
        return workspace

    def _reference(self, command: tuple[str, ...]) -> tuple[Any, frozenset[str]]:
        """The numbers and the files of an undisturbed run of a command."""
        workspace = self.temporary("reference")
        done = self.run(*command, "--workspace", str(workspace))
        if done.code != 0:
            raise RuntimeError(f"{' '.join(command)} fails undisturbed: {done.stderr}")
        return numbers(workspace), files(workspace)

    def _seconds(self, command: tuple[str, ...], prepare: Callable[[], Path]) -> float:
        """How long a command takes undisturbed."""
        workspace, start = prepare(), time.monotonic()
        self.run(*command, "--workspace", str(workspace))
        shutil.rmtree(workspace, ignore_errors=True)
        return time.monotonic() - start

    def settle(self, trial: Trial, command: tuple[str, ...], workspace: Path) -> None:
        """Run a command undisturbed and clean up; then numbers and files must be those of an undisturbed workspace."""
        wanted, there = self.reference(command)
        trial.note(self.run(*command, "--workspace", str(workspace)), allowed=(0,))
        with contextlib.suppress(OSError, ValueError):
            trial.check(numbers(workspace) == wanted, f"{trial.what}: other numbers than undisturbed")
        trial.note(self.run("clean", "--older-than", "0", "--yes", "--workspace", str(workspace)), allowed=(0,))
        found = files(workspace)
        foreign = sorted(found - there - {name for name in found if "/judgements/" in name or "judge-" in name})
        trial.check(not foreign, f"{trial.what}: left behind: {', '.join(foreign[:5])}")
        # What a teacher answered is not missed before it is asked for something again.
        missing = sorted(name for name in there - found if not name.startswith("journals/"))
        trial.check(not missing, f"{trial.what}: missing: {', '.join(missing[:5])}")


def numbers(workspace: Path, run: str = "r") -> Any:
    """Return what a run found, without times and what the user was told."""
    plain = json.loads((workspace / "runs" / run / "results.json").read_bytes())
    return {name: plain[name] for name in _NUMBERS}


def files(workspace: Path) -> frozenset[str]:
    """Return the paths below a workspace that mean something: not locks, and not what was put aside as damaged."""
    found = (path.relative_to(workspace).as_posix() for path in workspace.rglob("*") if not path.is_dir())
    return frozenset(name for name in found if not _PASSING.search(name))
