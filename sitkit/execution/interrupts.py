"""Ctrl-C and SIGTERM that cannot get lost, on the command line, in a script or in a notebook."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sitkit.execution.events import Event, Listener


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a cluster or `timeout` sends it: it ends a run the way Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM raise `Terminated` in the main thread; left alone where it is ignored or somebody's already."""
    with contextlib.ExitStack() as stack:
        if _is_main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _terminate))
        yield


def _terminate(number: int, frame: object) -> None:
    raise Terminated


@contextmanager
def interruptible(listener: Listener) -> Iterator[Listener]:
    """Yield the listener, raising at the next event what a signal raised if it did not stop the run.

    Python drops an interrupt that lands in a finaliser ("Exception ignored in …"), and a run would go on. Ctrl-C is
    remembered where it is not ignored, SIGTERM within `terminable`.
    """
    caught = list[type[KeyboardInterrupt]]()

    def remember(number: int, frame: object) -> None:
        caught.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise caught[-1]

    def heeding(event: Event) -> None:
        if caught:
            raise caught[-1]
        listener(event)

    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM) if _is_main_thread() else ():
            handler = signal.getsignal(number)
            if handler == _terminate or (number == signal.SIGINT and handler not in (signal.SIG_IGN, None)):
                stack.callback(signal.signal, number, signal.signal(number, remember))
        yield heeding


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
