"""Prices, the budget of a run, and how many tokens a prompt has, without asking anybody."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from sitkit_openai.options import Options

_MILLION = 1_000_000
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


@dataclass(frozen=True)
class Quote:
    """A price, None where none is known, and in words where it was looked up (empty where the user gave it)."""

    price: Price | None
    source: str = ""


def quote(options: Options) -> Quote:
    """Return the price given, or that of the model at this endpoint in the table of genai-prices."""
    if options.price_in is not None and options.price_out is not None:
        return Quote(Price(options.price_in, options.price_out))
    # No table knows what a server of one's own costs; the table takes a quarter of a second to load.
    if options.is_local:
        return Quote(None)
    found, source = _listed(options), f"genai-prices {version('genai-prices')}, newest price {_newest()}"
    return Quote(found, source if found else f"not in {source}")


def _listed(options: Options) -> Price | None:
    """Return the table's price of a prompt of ordinary length, the dearest of the day; None where it has none.

    Some providers ask for more at certain hours, and for prompts longer than 32,000 tokens or more; a few for a sum a
    call on top, which is no price of tokens.
    """
    from genai_prices import Usage, calc_price

    context = {"processing": "batch"} if options.batch else None
    now, tokens = datetime.now(UTC), 1000
    try:
        day = [
            calc_price(
                Usage(input_tokens=tokens, output_tokens=tokens),
                options.model,
                provider_api_url=options.base_url,
                genai_request_timestamp=now + timedelta(hours=hour),
                price_context=context,
            )
            for hour in range(24)
        ]
    except LookupError:
        return None
    if any(
        found.model_price.input_mtok is None
        or found.model_price.output_mtok is None
        or found.total_price != found.input_price + found.output_price
        for found in day
    ):
        return None
    scale = _MILLION // tokens
    return Price(
        float(max(found.input_price for found in day) * scale), float(max(found.output_price for found in day) * scale)
    )


def _newest() -> date:
    """Return the newest date, up to today, from which a price in the table holds: how fresh the table is."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import StartDateConstraint

    models = [model for provider in get_snapshot().providers for model in provider.models]
    dated = [
        entry.constraint.start_date
        for model in models
        for entry in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ()))
        if isinstance(entry.constraint, StartDateConstraint)
    ]
    return max(day for day in dated if day <= datetime.now(UTC).date())


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
