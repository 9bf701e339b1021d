"""The teacher ``openai``, and its form with ``batch=true``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit.errors import TeacherError
from sitkit.types import Estimate, Generation, Json, Prompt, Prompting, Question, Reply
from sitkit_openai.api_keys import find_key, find_secrets
from sitkit_openai.costs import Ledger, Quote, counter, estimate_tokens, quote
from sitkit_openai.options import Options
from sitkit_openai.requests import Ask, asks_of_prompts, asks_of_questions

if TYPE_CHECKING:
    from sitkit_openai.batch import Batches


class OpenAITeacher:
    """A model behind an OpenAI-compatible endpoint; see `Teacher`, `PromptCompleter`, `PaidEndpoint`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._ledger = Ledger(None, None)

    @cached_property
    def _quote(self) -> Quote:
        # Looked up when a price is needed: a run whose answers are all there needs none.
        return quote(self.options)

    def fingerprint(self) -> Json:
        """Return the model, the endpoint and the options that determine answers."""
        return self.options.fingerprint()

    def begin(self, folder: Path, *, budget: float | None) -> None:
        """Get ready; see `PaidEndpoint`. Raises `TeacherError` where a key or a price is missing."""
        find_key(self.options)
        price = self._quote.price
        if budget is not None and price is None:
            raise TeacherError(
                f"no price is known for {self._no_price()}: give price_in= and price_out= in US dollars per million"
                " tokens (0 where it is free), or leave --max-cost out"
            )
        self._ledger = Ledger(budget, price)

    def spent(self) -> float:
        """Return what was spent since `begin`; see `sitkit.capabilities.PaidEndpoint`."""
        return self._ledger.spent

    def answer(self, questions: Sequence[Question], prompting: Prompting, generation: Generation) -> Iterator[Reply]:
        """Yield a reply to every question as it arrives; see `sitkit.types.Teacher`."""
        texts = [question.prompt(prompting) for question in questions]
        return self._replies(asks_of_questions(questions, texts), generation)

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
        """Yield a reply to every prompt as it arrives; see `sitkit.capabilities.PromptCompleter`."""
        return self._replies(asks_of_prompts(prompts), generation)

    def _replies(self, asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
        key, hidden = find_key(self.options), find_secrets(self.options)
        if not asks:
            return iter(())
        from sitkit_openai.calls import Run
        from sitkit_openai.concurrency import Outbox, stream

        outbox = Outbox[Reply](2 * self.options.concurrency)

        async def work() -> None:
            run = Run(self.options, key, hidden, self._ledger, outbox.put, outbox.room)
            await run.everything(asks, generation)

        return stream(outbox, work)

    def estimate(self, prompts: Sequence[Prompt], generation: Generation) -> Estimate:
        """Return the calls, their tokens (see `sitkit_openai.costs.counter`) and their price at most."""
        count = counter(self.options)
        into = sum(estimate_tokens(count, self.options, prompt.text) for prompt in prompts)
        out = len(prompts) * generation.max_new_tokens
        known = self._quote.price is not None
        return Estimate(
            len(prompts), into, out, self.cost(into, out), self._quote.source if known else self._no_price()
        )

    def _no_price(self) -> str:
        where = f"openai:{self.options.model} at {self.options.host}"
        return f"{where} ({self._quote.source})" if self._quote.source else where

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the price of so many tokens, in US dollars; None if it is not known."""
        price = self._quote.price
        return None if price is None else price.of(prompt_tokens, completion_tokens)

    def close(self) -> None:
        """Nothing stays open between calls of `answer`."""


class BatchTeacher(OpenAITeacher):
    """A model asked through its provider's batch API; see also `sitkit.capabilities.BatchSubmitter`."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._folder: Path | None = None

    def begin(self, folder: Path, *, budget: float | None) -> None:
        """Get ready; ``folder`` keeps what is under way. See `OpenAITeacher.begin`."""
        super().begin(folder, budget=budget)
        self._folder = folder

    def submit(self, questions: Sequence[Question], prompting: Prompting, generation: Generation) -> float:
        """Send batches without waiting; see `sitkit.capabilities.BatchSubmitter`."""
        asks = asks_of_questions(questions, [question.prompt(prompting) for question in questions])
        with self._batches() as batches:
            batches.send(asks, generation)
        return self._ledger.held

    def _replies(self, asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
        # Made here, so that a missing key shows before the first reply is waited for.
        batches = self._batches()
        return _through(batches, asks, generation) if asks else iter(())

    def _batches(self) -> AbstractContextManager[Batches]:
        from sitkit_openai.batch import opened

        if self._folder is None:
            raise TeacherError("batch=true needs a folder to keep the batch's id in: call begin() first")
        return opened(self.options, find_key(self.options), find_secrets(self.options), self._ledger, self._folder)


def _through(opened: AbstractContextManager[Batches], asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
    with opened as batches:
        yield from batches.replies(asks, generation)
