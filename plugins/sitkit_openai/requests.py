"""What is asked, the same whether it goes out alone or in a batch, and how the client is made that asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sitkit.plugin_support import chat_messages, own_sampling, stream_seed
from sitkit.types import Generation, Json, Prompt, Question
from sitkit_openai.options import Options
from sitkit_openai.outcomes import Verdict

LONGEST_BACKOFF = 60.0
"""Seconds; a wait that the endpoint asks for may be longer."""


@dataclass(frozen=True)
class Ask:
    """One prompt: ``id`` is what the caller knows it by, ``stream`` names its own stream of randomness."""

    id: str
    stream: str
    text: str


def asks_of_questions(questions: Sequence[Question], texts: Sequence[str]) -> list[Ask]:
    """Return what to ask, the questions' randomness keyed by benchmark and id, so that order does not matter."""
    return [Ask(one.id, f"{one.benchmark}/{one.id}", text) for one, text in zip(questions, texts, strict=True)]


def asks_of_prompts(prompts: Sequence[Prompt]) -> list[Ask]:
    """Return what to ask."""
    return [Ask(one.id, one.id, one.text) for one in prompts]


def body(options: Options, ask: Ask, generation: Generation) -> Json:
    """Return the body of a chat completion request.

    The seed is the prompt's own, so that an answer does not depend on what was asked before it. The stop strings are
    for models that would go on with a next question of their own; a chat model ends its turn itself, and reasoning
    models refuse them, so they are sent only with ``stop=on`` (at most 4, as the API takes).
    """
    generation = own_sampling(generation, options.temperature, options.top_p)
    asked: dict[str, Json] = {
        "model": options.model,
        "messages": chat_messages(ask.text, options.system),
        "temperature": generation.temperature,
        options.max_tokens_field: generation.max_new_tokens,
    }
    if options.seed:
        # 31 bits, which every server takes.
        asked["seed"] = stream_seed(generation.seed, ask.stream, bits=31)
    if options.stop and generation.stop:
        asked["stop"] = list(generation.stop[:4])
    if options.top_p is not None or generation.top_p != 1:
        asked["top_p"] = generation.top_p
    if options.reasoning_effort is not None:
        asked["reasoning_effort"] = options.reasoning_effort
    return {**asked, **(options.extra_body or {})}


def digest(asked: Json) -> str:
    """Return a short name of a request, the same for equal requests."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:40]


def retry_options(options: Options) -> dict[str, Any]:
    """Return how tenacity repeats a call whose `Verdict` may pass; what it came to last is returned.

    The wait doubles from one attempt to the next, jittered by a half either way, and is never shorter than what the
    endpoint asks for.
    """
    from tenacity import retry_if_result, stop_after_attempt, wait_exponential, wait_random_exponential

    first, longest = options.backoff, max(LONGEST_BACKOFF, options.backoff)
    doubling = wait_exponential(first / 2, min=first / 2, max=longest / 2) + wait_random_exponential(first, max=longest)
    return {
        "retry": retry_if_result(lambda found: isinstance(found, Verdict) and found.passing),
        "stop": stop_after_attempt(options.retries + 1),
        "wait": lambda state: max(doubling(state), state.outcome.result().wait or 0.0),
        "retry_error_callback": lambda state: state.outcome.result(),
    }


def http_options(options: Options) -> dict[str, Any]:
    """Return how the HTTP client below is made: it follows no redirect and asks this machine without a proxy.

    A redirect would take prompts and headers to a host that nobody named, and turns a POST into an empty GET on 301,
    302 and 303.
    """
    host = f"[{options.host}]" if ":" in options.host else options.host
    direct: dict[str, None] = {f"all://{host}": None} if options.is_local else {}
    return {"follow_redirects": False, "mounts": direct}


def client_options(options: Options, key: str) -> dict[str, Any]:
    """Return how a client is made: its own retries are off, for they would hide behind ours."""
    import openai

    timeout = openai.Timeout(options.timeout, connect=min(30.0, options.timeout))
    # A URL of the environment is left to the client, for it may hold what is not to be kept here.
    where = {} if options.url_of_environment else {"base_url": options.base_url}
    return {"api_key": key, "max_retries": 0, "timeout": timeout, **where}
