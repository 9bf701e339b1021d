"""Runs math-verify in a process of its own under a hard time limit: hostile LaTeX costs a wrong answer, not a hung run.

A process, because math-verify's own time limits use signals, which threads and many worker processes cannot have.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

SECONDS_TO_START = 120.0
SECONDS_TO_VERIFY = 5.0


def verify(target: str, answer: str, seconds: float = SECONDS_TO_VERIFY) -> bool:
    """Tell whether math-verify finds the two equal; False where it fails or needs more than ``seconds``."""
    return _verifier(os.getpid()).ask(target, answer, seconds)


@functools.cache
def _verifier(process_id: int) -> Verifier:
    """One for each process: a forked child must not share its parent's pipes."""
    verifier = Verifier()
    atexit.register(verifier.close)
    return verifier


class Verifier:
    """A child process that answers one question at a time; it is started when first needed and after a time-out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._child: subprocess.Popen[str] | None = None

    def ask(self, target: str, answer: str, seconds: float) -> bool:
        """Return the child's verdict, False after ``seconds``."""
        with self._lock:
            child = self._child or self._start()
            reply = self._exchange(child, json.dumps([target, answer]), seconds)
            if not reply:
                self._stop()
            return reply == "true"

    def close(self) -> None:
        """End the child process; does nothing in a process that was forked from its owner."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[str]:
        # -P keeps this folder's module names off the child's path; it imports math-verify alone.
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("math_check_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._exchange(self._child, json.dumps(["1", "1"]), SECONDS_TO_START) != "true":
            self._stop()
            raise RuntimeError("math-verify does not start; try: python -c 'import math_verify'")
        return self._child

    def _exchange(self, child: subprocess.Popen[str], line: str, seconds: float) -> str:
        if child.stdin is None or child.stdout is None:
            return ""
        timer = threading.Timer(seconds, child.kill)
        timer.start()
        try:
            child.stdin.write(line + "\n")
            child.stdin.flush()
            return child.stdout.readline().strip()
        except BrokenPipeError:
            return ""
        finally:
            timer.cancel()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
