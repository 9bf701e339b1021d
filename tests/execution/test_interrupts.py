"""An interrupt that Python drops in a finaliser still stops the run at the next event."""

import contextlib
import os
import signal

import pytest

from sitkit.execution.events import Event, Notice
from sitkit.execution.interrupts import interruptible


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_event() -> None:
    seen: list[Event] = []
    before = signal.getsignal(signal.SIGINT)
    with interruptible(seen.append) as listener:
        listener(Notice("first"))
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            listener(Notice("second"))
    assert seen == [Notice("first")]
    assert signal.getsignal(signal.SIGINT) == before
