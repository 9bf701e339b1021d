"""Many calls at once, each prompt answered exactly once, in whatever order the replies arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sitkit.errors import TeacherError
from sitkit.plugin_support import NOTICES
from sitkit.types import Generation, Json, Reply
from sitkit_openai.api_keys import shown, without_keys
from sitkit_openai.concurrency import Pace, now
from sitkit_openai.costs import Ledger, most_tokens
from sitkit_openai.failures import judge_content, judge_error
from sitkit_openai.options import Options
from sitkit_openai.outcomes import PASSING, Outcome, Verdict
from sitkit_openai.requests import Ask, body, client_options, http_options, retry_options

_LOG = logging.getLogger(NOTICES)

_TASKS_A_SLOT = 4
"""Prompts under way for each call that may be in flight, so that those that wait for a retry hold nobody up."""

_LONGEST_WAIT = 24 * 3600.0
"""Seconds; an endpoint that asks for more is left alone until the user comes back."""

_LONG_WAIT = 30.0
"""Seconds of waiting that a user is told of."""

_DRAIN = 10.0
"""Seconds that calls in flight get to come back when the run has to stop: they are paid for."""

_HOPELESS = 5
_MANY = 50
"""Of so many prompts, so many given up without a single answer: then the endpoint is at fault, not the prompts."""

_BEARER = {"security": {"bearer_auth": True}}
"""Only the key for the API is sent, never one for administration."""

_ENDPOINTS_FAULT = frozenset(PASSING - {Outcome.EMPTY})


class _StoppedError(Exception):
    """No further call may start."""


@dataclass(eq=False)
class _Flight:
    """One attempt: whether it has a place and money is held for it, when it started, and its time limit."""

    worst: float
    placed: bool = False
    held: bool = False
    started: float = 0.0
    limit: asyncio.Timeout | None = None


_FLIGHT: ContextVar[_Flight] = ContextVar("sitkit-openai-flight")


class Run:
    """The calls of one `answer`. ``deliver`` gets each reply; ``room`` says whether more may be under way.

    A run lives in one event loop, and `everything` is its one entry.
    """

    def __init__(
        self,
        options: Options,
        key: str,
        hidden: Sequence[str],
        ledger: Ledger,
        deliver: Callable[[Reply], None],
        room: Callable[[], bool],
    ) -> None:
        self.options = options
        self.key = key
        self.hidden = hidden
        self.ledger = ledger
        self.deliver = deliver
        self.room = room
        self.pace = Pace(options.concurrency)
        self.stopped: str | None = None
        self.asked = 0
        self._stop = asyncio.Event()
        self._back = asyncio.Event()
        self._last_answer = float("-inf")
        self._reached = self._told = False
        self._hopeless = 0
        self._told_until = 0.0

    async def everything(self, asks: Sequence[Ask], generation: Generation) -> None:
        """Ask everything. Raises `TeacherError`, once what is in flight has come back, if going on makes no sense."""
        import openai

        self.asked = len(asks)
        async with openai.AsyncOpenAI(**self._client_options()) as client:
            left = iter(asks)
            size = min(len(asks), _TASKS_A_SLOT * self.options.concurrency)
            tasks = [asyncio.create_task(self._worker(client, left, generation)) for _ in range(size)]
            try:
                await self._all(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if self.stopped is not None:
            raise TeacherError(f"openai:{self.options.model} at {self.options.host}: {self.stopped}")

    def _client_options(self) -> dict[str, Any]:
        import httpx2
        import openai

        settings = client_options(self.options, self.key)
        # Every call in flight keeps its connection, which the client's default does for a hundred.
        most = self.options.concurrency
        http = openai.DefaultAsyncHttpxClient(
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            timeout=settings["timeout"],
            event_hooks={"request": [self._take_off]},
            **http_options(self.options),
        )
        return {**settings, "http_client": http}

    async def _all(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        waiting = set(tasks)
        try:
            while waiting and self.stopped is None:
                done, _ = await asyncio.wait({*waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
                waiting = _checked(waiting, done)
            deadline = time.monotonic() + _DRAIN
            while waiting and self.ledger.flying and time.monotonic() < deadline:
                done, _ = await asyncio.wait(waiting, timeout=0.05)
                waiting = _checked(waiting, done)
        finally:
            stop.cancel()

    async def _worker(self, client: Any, left: Iterator[Ask], generation: Generation) -> None:
        for ask in left:
            reply = await self._reply(client, ask, generation)
            if reply is not None:
                self.deliver(reply)
            if self.stopped is not None:
                return

    async def _reply(self, client: Any, ask: Ask, generation: Generation) -> Reply | None:
        """Return the reply to one prompt, after retries; None if the run stopped before there was one."""
        from tenacity import AsyncRetrying

        asked = body(self.options, ask, generation)
        worst = self.ledger.worst(most_tokens(self.options, ask.text), generation.max_new_tokens)
        into = out = tries = 0
        since = time.monotonic()
        async for attempt in AsyncRetrying(sleep=asyncio.sleep, **retry_options(self.options)):
            flight = _Flight(worst)
            try:
                verdict = await self._call(client, asked, flight)
            except _StoppedError:
                return None
            tries += 1
            into += verdict.prompt_tokens or 0
            out += verdict.completion_tokens or 0
            self._learn(verdict, flight.started)
            state = attempt.retry_state
            # While others are answered, a rate limit says nothing against this prompt.
            state.attempt_number -= verdict.outcome == Outcome.RATE_LIMIT and self._last_answer >= since
            since = time.monotonic()
            if verdict.passing and state.attempt_number > self.options.retries:
                self._given_up(verdict)
            elif verdict.passing and self.stopped is not None:
                return None
            state.set_result(verdict)
        if verdict.fatal is not None:
            return None
        detail = verdict.detail if tries == 1 or not verdict.passing else f"{verdict.detail} ({tries} attempts)"
        return Reply(
            id=ask.id,
            completion=without_keys(verdict.completion, self.hidden),
            outcome=verdict.outcome,
            detail=shown(detail, self.hidden),
            reasoning=without_keys(verdict.reasoning, self.hidden),
            prompt_tokens=into,
            completion_tokens=out,
        )

    async def _call(self, client: Any, asked: Json, flight: _Flight) -> Verdict:
        _FLIGHT.set(flight)
        # A call that is cancelled, lost or garbled may have been billed in full.
        spent = flight.worst
        try:
            verdict = await self._send(client, asked, flight)
            spent = self._spent(verdict, flight.worst)
            return verdict
        finally:
            if flight.placed:
                self.pace.leave()
            if flight.held:
                self.ledger.settle(flight.worst, spent)
                self._back.set()

    async def _send(self, client: Any, asked: Json, flight: _Flight) -> Verdict:
        import httpx2

        try:
            # The client's time-out is one of silence: a reply that drips in would never meet it.
            async with asyncio.timeout(None) as flight.limit:
                # What `chat.completions.create` does, without checking the body against OpenAI's own types, which
                # other endpoints go beyond, and which takes longer than all the rest of a call.
                reply = await client.post("/chat/completions", body=asked, cast_to=httpx2.Response, options=_BEARER)
        except _StoppedError:
            raise
        except Exception as error:
            return judge_error(error, self.options.model)
        return judge_content(reply.content)

    async def _take_off(self, request: object) -> None:
        """Wait until a request, ready to be sent, may be: the client calls this between the two.

        So that requests are made while others are in flight, and a place stands for nothing but a call in flight.
        """
        flight = _FLIGHT.get()
        await self.pace.enter()
        flight.placed = True
        while not self.room():
            await asyncio.sleep(0.01)
        if not await self._afford(flight.worst):
            raise _StoppedError
        flight.held = True
        await self.pace.pause()
        flight.started = now()
        if flight.limit is not None:
            flight.limit.reschedule(flight.started + self.options.timeout)

    async def _afford(self, worst: float) -> bool:
        while self.stopped is None:
            if self.ledger.fits(worst):
                self.ledger.hold(worst)
                return True
            if not self.ledger.flying:
                self._end(self.ledger.exhausted())
                break
            self._back.clear()
            await self._back.wait()
        return False

    def _spent(self, verdict: Verdict, worst: float) -> float:
        if not verdict.billed:
            return 0.0
        if verdict.prompt_tokens is None or verdict.completion_tokens is None:
            return worst
        return self.ledger.worst(verdict.prompt_tokens, verdict.completion_tokens)

    def _learn(self, verdict: Verdict, started: float) -> None:
        lost = verdict.outcome in (Outcome.CONNECTION, Outcome.TIME_OUT)
        self._reached = self._reached or not lost or verdict.billed
        if verdict.fatal is not None:
            self._end(shown(verdict.fatal, self.hidden))
        elif verdict.outcome == Outcome.RATE_LIMIT or verdict.wait is not None:
            self._wait(verdict.wait)
            self.pace.limited(started, verdict.wait)
        elif not lost and verdict.outcome not in _ENDPOINTS_FAULT:
            self._last_answer = time.monotonic()
            self.pace.answered()
        if verdict.outcome == Outcome.BAD_REQUEST and verdict.fatal is None and not self._told:
            self._told = True
            _LOG.warning("openai:%s refused a request: %s", self.options.model, shown(verdict.detail, self.hidden))

    def _wait(self, wait: float | None) -> None:
        if wait is None or wait < _LONG_WAIT:
            return
        if wait > _LONGEST_WAIT:
            self._end(f"the endpoint asks to wait {wait / 3600:.0f} hours; the same command goes on later")
        elif time.time() + wait > self._told_until + _LONG_WAIT:
            self._told_until = time.time() + wait
            until = time.strftime("%H:%M:%S", time.localtime(self._told_until))
            _LOG.warning("openai:%s: the endpoint's rate limit holds until %s", self.options.model, until)

    def _given_up(self, verdict: Verdict) -> None:
        why = shown(f"{verdict.outcome} ({verdict.detail})", self.hidden)
        if not self._reached:
            self._end(f"cannot be reached: {why}; is base_url={self.options.base_url} right?")
        elif verdict.outcome in _ENDPOINTS_FAULT:
            self._hopeless += 1
            if self._hopeless >= _HOPELESS and self.asked >= _MANY and self._last_answer == float("-inf"):
                self._end(f"{self._hopeless} prompts were given up before any was answered, the last for {why}")

    def _end(self, why: str) -> None:
        if self.stopped is None:
            self.stopped = why
            self._stop.set()
            self._back.set()


def _checked(waiting: set[asyncio.Task[None]], done: set[asyncio.Task[Any]]) -> set[asyncio.Task[None]]:
    for task in waiting & done:
        task.result()
    return waiting - done
