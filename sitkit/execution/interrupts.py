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


class _Handler:
    """Raises what a signal means, and remembers it in ``caught``: whatever it lands in may lose or replace it."""

    def __init__(self) -> None:
        self.caught: list[type[KeyboardInterrupt]] = []

    def __call__(self, number: int, frame: object) -> None:
        self.caught.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        raise self.caught[-1]


@contextmanager
def terminable() -> Iterator[list[type[KeyboardInterrupt]]]:
    """Have SIGTERM raise `Terminated` and Ctrl-C KeyboardInterrupt in the main thread, and yield which of them came.

    A signal is left alone where it is ignored or somebody's already.
    """
    handler = _Handler()
    with contextlib.ExitStack() as stack:
        for number, usual in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if _is_main_thread() and signal.getsignal(number) == usual:
                stack.callback(signal.signal, number, signal.signal(number, handler))
        yield handler.caught


@contextmanager
def interruptible(listener: Listener) -> Iterator[Listener]:
    """Yield the listener, raising at the next event what a signal raised if it did not stop the run.

    Python drops an interrupt that lands in a finaliser ("Exception ignored in …"), and a run would go on. Ctrl-C is
    remembered where it is not ignored, SIGTERM within `terminable`.
    """
    own = _Handler()
    handlers = [own]

    def heeding(event: Event) -> None:
        for handler in handlers:
            if handler.caught:
                raise handler.caught[-1]
        listener(event)

    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM) if _is_main_thread() else ():
            before = signal.getsignal(number)
            if isinstance(before, _Handler):
                handlers.append(before)
            elif number == signal.SIGINT and before not in (signal.SIG_IGN, None):
                stack.callback(signal.signal, number, signal.signal(number, own))
        yield heeding


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
