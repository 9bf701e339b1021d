"""How many calls may be in flight: as many as the endpoint bears (additive increase, multiplicative decrease)."""

from __future__ import annotations

import asyncio
from collections import deque

_STAGGER = 0.003
"""Seconds between the first calls. Calls that start together come back together from a steady server, and then wait
for each other on every round."""


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
