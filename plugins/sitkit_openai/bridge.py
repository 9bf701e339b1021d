"""From coroutines in a thread of their own to an iterator in the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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
