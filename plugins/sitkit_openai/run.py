"""Many calls at once, each prompt answered exactly once, in whatever order the replies arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from sitkit.errors import TeacherError
from sitkit.types import Generation, Json, Reply
from sitkit_openai import outcomes
from sitkit_openai.attempt import backoff, client_options, judge_error, judge_text, shown
from sitkit_openai.money import Ledger
from sitkit_openai.options import Options
from sitkit_openai.pace import Pace
from sitkit_openai.requests import Ask, body
from sitkit_openai.tokens import bound
from sitkit_openai.verdict import Verdict

_LOG = logging.getLogger("sitkit.notices")

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

_ENDPOINTS_FAULT = frozenset(outcomes.PASSING - {outcomes.EMPTY})


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
        self.given_up: Counter[str] = Counter()
        self.answers = 0
        self.reached = False
        self.asked = 0
        self._back = asyncio.Event()
        self._last_answer = float("-inf")

    async def everything(self, asks: Sequence[Ask], generation: Generation) -> None:
        """Ask everything. Raises `TeacherError`, once what is in flight has come back, if going on makes no sense."""
        import openai

        self.asked = len(asks)
        limits = openai.DefaultAsyncHttpxClient(
            limits=_limits(self.options.concurrency), timeout=self.options.timeout, follow_redirects=True
        )
        async with openai.AsyncOpenAI(**client_options(self.options, self.key), http_client=limits) as client:
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

    async def _all(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        waiting, deadline = set(tasks), None
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=0.1 if deadline else 1.0, return_when="FIRST_EXCEPTION")
            for task in done:
                task.result()
            if self.stopped is not None:
                deadline = deadline or time.monotonic() + _DRAIN
                if not self.ledger.flying or time.monotonic() > deadline:
                    return

    async def _worker(self, client: Any, left: Iterator[Ask], generation: Generation) -> None:
        for ask in left:
            reply = await self._reply(client, ask, generation)
            if reply is None:
                return
            self.deliver(reply)

    async def _reply(self, client: Any, ask: Ask, generation: Generation) -> Reply | None:
        """Return the reply to one prompt, after retries; None if the run has stopped before there was one."""
        asked = body(self.options, ask, generation)
        worst = self.ledger.worst(bound(self.options, ask.text), generation.max_new_tokens)
        into = out = attempts = tries = 0
        while True:
            while not self.room() and self.stopped is None:
                await asyncio.sleep(0.01)
            tried = time.monotonic()
            async with self.pace.slot() as started:
                if not await self._afford(worst):
                    return None
                verdict = await self._call(client, asked, worst)
                tries += 1
            into += verdict.prompt_tokens or 0
            out += verdict.completion_tokens or 0
            self._learn(verdict, started)
            if not verdict.passing:
                break
            # While others are answered, a rate limit says nothing against this prompt.
            attempts += verdict.outcome != outcomes.RATE_LIMIT or self._last_answer < tried
            if attempts > self.options.retries or self.stopped is not None:
                break
            await asyncio.sleep(max(backoff(self.options, max(1, attempts)), verdict.wait or 0.0))
        if self.stopped is not None and verdict.outcome not in ("answered", "truncated"):
            return None
        return self._made(ask, verdict, into, out, tries)

    async def _afford(self, worst: float) -> bool:
        while self.stopped is None:
            if self.ledger.fits(worst):
                self.ledger.hold(worst)
                return True
            if not self.ledger.flying:
                self.stopped = self.ledger.exhausted()
                break
            self._back.clear()
            await self._back.wait()
        return False

    async def _call(self, client: Any, asked: Json, worst: float) -> Verdict:
        spent = worst
        try:
            async with asyncio.timeout(self.options.timeout):
                raw = await client.chat.completions.with_raw_response.create(**_arguments(asked))
            verdict = judge_text(raw.text)
        except Exception as error:
            verdict = judge_error(error)
        else:
            self.reached = True
        finally:
            # A call that was cancelled, lost or garbled may have been billed in full.
            self.ledger.settle(worst, spent)
            self._back.set()
        return verdict
