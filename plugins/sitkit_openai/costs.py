"""Prices, the budget of a run, and how many tokens a prompt has, without asking anybody."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sitkit_openai.options import Options

_MILLION = 1_000_000
_BATCH = 0.5
"""OpenAI's batch API costs half (developers.openai.com/api/docs/guides/batch)."""

PRICES: dict[str, tuple[float, float]] = {
    "gpt-3.5-turbo": (0.50, 1.50),
    "gpt-3.5-turbo-0125": (0.50, 1.50),
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-2024-08-06": (2.50, 10.00),
    "gpt-4o-2024-11-20": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o-mini-2024-07-18": (0.15, 0.60),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-2025-04-14": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-mini-2025-04-14": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4.1-nano-2025-04-14": (0.10, 0.40),
}
"""US dollars per million tokens in and out at OpenAI's own endpoint, as reported in 2026; docs/cost.md has the sources.

Newer models are left out: their prices move, and a wrong price is worse than none.
"""


_LETTERS = 4
"""Letters of English prose to a token, as OpenAI's help states (help.openai.com/en/articles/4936856)."""

_TEMPLATE = 8
"""Tokens that roles and separators add to a message, at most: 3 to 4 a message in OpenAI's format, and 3 once."""

_VOCABULARY = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION


def price(options: Options) -> Price | None:
    """Return the price given, or OpenAI's known one, half of it for batches; None where neither is there."""
    if options.price_in is not None and options.price_out is not None:
        return Price(options.price_in, options.price_out)
    if not options.is_openai or options.model not in PRICES:
        return None
    share = _BATCH if options.batch else 1.0
    into, out = PRICES[options.model]
    return Price(into * share, out * share)


class Ledger:
    """What may still be spent, with what is in flight counted at its worst case."""

    def __init__(self, budget: float | None, rate: Price | None) -> None:
        self.budget = budget
        self.rate = rate
        self.spent = 0.0
        self.flying = 0
        self._held = 0.0

    @property
    def held(self) -> float:
        """What is held for calls under way."""
        return self._held

    def worst(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call that takes so many tokens."""
        return 0.0 if self.rate is None else self.rate.of(prompt_tokens, completion_tokens)

    def fits(self, worst: float) -> bool:
        """Whether a call of this worst case may start now."""
        # A hair's breadth, so that prices that add up to the budget exactly are not stopped by rounding.
        return self.budget is None or self.spent + self._held + worst <= self.budget * (1 + 1e-9)

    def hold(self, worst: float) -> None:
        """Hold money for a call that starts."""
        self.flying += 1
        self._held += worst

    def settle(self, worst: float, spent: float) -> None:
        """Give back what was held for a call that came back, and count what it took."""
        self.flying -= 1
        self._held = self._held - worst if self.flying else 0.0
        self.spent += spent

    def exhausted(self) -> str:
        """Return why nothing more is asked."""
        return (
            f"the next call could take the spending past the limit: ${self.spent:.4f} of ${self.budget or 0:.4f} are"
            " spent; what was answered is kept, and the same command with a larger --max-cost asks only for the rest"
        )


def counter(options: Options) -> Callable[[str], int]:
    """Return the function that estimates a text's tokens.

    tiktoken counts where it is installed, knows the model and has its vocabulary on disk already (it would download
    it otherwise); elsewhere four letters are taken for a token.
    """
    count = _tiktoken(options.model) if options.is_openai else None
    return count or (lambda text: math.ceil(len(text) / _LETTERS))


def estimate_tokens(count: Callable[[str], int], options: Options, text: str) -> int:
    """Return the tokens that a prompt and the system prompt will take, about."""
    return count(text) + _TEMPLATE + (count(options.system) + _TEMPLATE if options.system else 0)


def most_tokens(options: Options, text: str) -> int:
    """Return tokens that a prompt cannot pass: byte-level tokenizers have at most one for each byte of UTF-8."""
    return len(text.encode()) + len((options.system or "").encode()) + 64


def _tiktoken(model: str) -> Callable[[str], int] | None:
    try:
        import tiktoken
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    cache = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    if not (cache / hashlib.sha1(_VOCABULARY.format(name).encode(), usedforsecurity=False).hexdigest()).is_file():
        return None
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))
