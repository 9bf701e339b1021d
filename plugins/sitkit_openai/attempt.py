"""One call and what came of it, for calls alone and for those that manage batches."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

from sitkit.types import Json
from sitkit_openai import outcomes
from sitkit_openai.options import Options
from sitkit_openai.refusals import error_of, refused
from sitkit_openai.secrets import scrub
from sitkit_openai.verdict import Verdict, judge, read_body

LONGEST_BACKOFF = 60.0
"""Seconds; a wait that the endpoint asks for may be longer."""

_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")


def judge_content(content: bytes) -> Verdict:
    """Judge the body of a reply with HTTP 200."""
    found = read_body(content)
    return found if isinstance(found, Verdict) else judge_body(found)


def judge_body(found: Json) -> Verdict:
    """Judge the JSON object of a reply with HTTP 200."""
    error = error_of(found) if not found.get("choices") else None
    if isinstance(error, dict) and isinstance(error.get("code"), int) and 400 <= error["code"] < 600:
        # OpenRouter and others report an upstream's failure this way.
        return refused(error["code"], {}, "", error)
    return judge(found)


def judge_error(error: Exception, model: str) -> Verdict:
    """Judge what the client raised. Nothing of the exception is kept, for it holds the request and its key."""
    import openai

    if isinstance(error, openai.APITimeoutError | TimeoutError):
        sent = type(error.__cause__).__name__ not in _NEVER_SENT
        return Verdict(outcomes.TIME_OUT, "no reply in time", billed=sent)
    if isinstance(error, openai.APIStatusError):
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        text = error.response.text
        return refused(error.status_code, headers, text, error_of(_json(text)), model)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        name = type(cause).__name__
        return Verdict(outcomes.CONNECTION, f"{name}: {cause}" if cause else "", billed=name not in _NEVER_SENT)
    if isinstance(error, openai.OpenAIError | TypeError):
        return Verdict(outcomes.BAD_REQUEST, str(error), fatal=f"the client cannot ask: {error}", billed=False)
    raise error


def _json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def backoff(options: Options, attempt: int) -> float:
    """Return the seconds to wait before the next attempt; ``attempt`` counts from 1. Jittered by a half either way."""
    longest = max(LONGEST_BACKOFF, options.backoff)
    return min(longest, options.backoff * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.5)


def shown(text: str, hidden: Iterable[str]) -> str:
    """Return a text fit to be shown and stored: one line, no secret, not too long."""
    text = scrub(text, hidden)
    return text if len(text) <= 400 else f"{text[:399]}…"


def client_options(options: Options, key: str) -> dict[str, Any]:
    """Return how a client is made: its own retries are off, for they would hide behind ours."""
    import openai

    timeout = openai.Timeout(options.timeout, connect=min(30.0, options.timeout))
    # A URL of the environment is left to the client, for it may hold what is not to be kept here.
    where = {} if options.url_of_environment else {"base_url": options.base_url}
    return {"api_key": key, "max_retries": 0, "timeout": timeout, **where}
