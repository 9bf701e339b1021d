"""How many calls may be in flight, and the way from their coroutines to an iterator in the caller's thread."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

_STAGGER = 0.003
"""Seconds between the first calls. Calls that start together come back together from a steady server, and then wait
for each other on every round."""


T = TypeVar("T")


class Pace:
    """Lets at most ``limit`` calls in; it starts at ``most``, halves on a rate limit, and grows by one a round.

    A wait that the endpoint asks for holds for every call that has not started yet, whoever was told.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.flying = 0
        self._until = 0.0
        self._begun = 0
        self._first = 0.0
        self._halved = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place, first come, first served, and take it; `leave` gives it back."""
        await self._spread()
        await self.pause()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            # The place may have come in the same moment: the next one in line must not miss it.
            if not turn.cancelled():
                self.leave()
            raise

    async def pause(self) -> None:
        """Wait for as long as the endpoint has asked for."""
        while (rest := self._until - now()) > 0:
            await asyncio.sleep(rest)

    async def _spread(self) -> None:
        self._first = now() if self._begun == 0 else self._first
        due = self._first + _STAGGER * min(self._begun, self.most)
        self._begun += 1
        if (rest := due - now()) > 0:
            await asyncio.sleep(rest)

    def _wake(self) -> None:
        # The place is taken on behalf of whoever waits: a call that has just come back would overtake them all.
        while self._waiting and self.flying < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.flying += 1
                turn.set_result(None)

    def leave(self) -> None:
        """Give a place back."""
        self.flying -= 1
        self._wake()

    def limited(self, started: float, wait: float | None) -> None:
        """Take note of a rate limit that met a call started at ``started``; calls of one burst halve only once."""
        if wait is not None:
            self._until = max(self._until, now() + wait)
        if started > self._halved:
            self._halved = now()
            self.limit = max(1.0, self.limit / 2)

    def answered(self) -> None:
        """Take note of a call that went well."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._wake()


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()


class Outbox(Generic[T]):
    """What has come in and was not taken yet: at most about ``most``, so that little is lost in a kill."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.put(item)

    def room(self) -> bool:
        """Whether whoever takes the items keeps up."""
        return self._items.qsize() < self._most

    def end(self, error: BaseException | None) -> None:
        """Say that nothing more comes, and why."""
        self._items.put(error)

    def take(self) -> T | None:
        """Wait for the next item and return it, None at the end. Raises what ended it."""
        item = self._items.get()
        if isinstance(item, BaseException):
            raise item
        return item


def stream(outbox: Outbox[T], work: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[T]:
    """Yield what ``work``, which runs in an event loop of its own, puts into the outbox.

    The loop has its own thread so that the caller may be slow, or be in an event loop itself as in a notebook. When
    the caller stops early, by closing this or by Ctrl-C, the work is cancelled and the thread has ended on return.
    """
    loop = asyncio.new_event_loop()
    task: list[asyncio.Task[None]] = []
    ready = threading.Event()

    async def main() -> None:
        current = asyncio.current_task()
        if current is not None:
            task.append(current)
        ready.set()
        await work()

    def run() -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(main())
        except BaseException as found:
            error = found
        finally:
            ready.set()
            outbox.end(error)

    thread = threading.Thread(target=run, name="sitkit-openai", daemon=True)
    thread.start()
    try:
        while (item := outbox.take()) is not None:
            yield item
    finally:
        ready.wait()
        # A loop that has ended by itself is closed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task[0].cancel)
        thread.join()
