"""Ctrl-C that cannot get lost, on the command line, in a script or in a notebook."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sitkit.execution.events import Event, Listener


@contextmanager
def interruptible(listener: Listener) -> Iterator[Listener]:
    """Yield the listener, raising KeyboardInterrupt at the next event if Ctrl-C was pressed and nobody stopped.

    Python drops an interrupt that lands in a finaliser ("Exception ignored in …"), and a run would go on.
    """
    ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
    if ignored or threading.current_thread() is not threading.main_thread():
        yield listener
        return
    pressed = threading.Event()

    def remember(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def heeding(event: Event) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        listener(event)

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield heeding
    finally:
        signal.signal(signal.SIGINT, previous)
