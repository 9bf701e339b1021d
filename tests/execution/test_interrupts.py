"""An interrupt that Python drops in a finaliser still stops the run at the next event."""

import contextlib
import os
import signal

import pytest

from sitkit.cli.main import run
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_that_became_another_error_still_ends_the_program_in_one_line(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiled(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise ValueError("Invalid affine transformation matrix") from None

    monkeypatch.setattr("sitkit.workspace.runs.list_runs", compiled)
    assert run(["runs"]) == code
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
