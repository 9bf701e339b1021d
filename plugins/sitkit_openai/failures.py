"""What came of a call: an answer, a failure by its HTTP status or by what the client raised.

Try again, this prompt cannot be answered, or stop at once. The codes are those of OpenAI's error reference
(platform.openai.com/docs/guides/error-codes); other servers send the same statuses with codes or messages of their own.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from sitkit.types import Json
from sitkit_openai.outcomes import Outcome, Verdict, judge, read_body

_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")


_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated")

_WRONG_FIELD = ("unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden")

_FILTERS = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation", "content_filtered")

_TOO_LONG = re.compile(
    r"maximum context|context[ _](?:length|window|size)|(?:prompt|input|request) is too long|too many (?:input )?tokens"
    r"|reduce the length|max_model_len|longer than the model|exceeds the maximum number of tokens",
    re.IGNORECASE,
)

_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)

_NO_KEY = re.compile(r"api key (?:is )?(?:not valid|invalid|expired)|valid api key", re.IGNORECASE)

_NOT_THERE = re.compile(
    r"not found|does not exist|no such|unknown|invalid model|not a valid|unavailable|not supported|pinned to",
    re.IGNORECASE,
)

_HINTS = {
    "seed": "leave it out with seed=off",
    "stop": "leave it out with stop=off",
    "temperature": "set another with --set annotate.temperature=1",
    "max_tokens": "name the other field with length_field=max_completion_tokens",
    "max_completion_tokens": "name the other field with length_field=max_tokens",
    "top_p": "leave top_p= out",
    "reasoning_effort": "leave reasoning_effort= out",
}

_REFUSED_FIELD = re.compile(
    rf"(?:unknown name|invalid) [\"'`]?(?P<unknown>{'|'.join(_HINTS)})\b"
    rf"|[\"'`](?P<unfit>{'|'.join(_HINTS)})[\"'`][^.]*(?:deprecated|not supported|unsupported)",
    re.IGNORECASE,
)
"""How endpoints that fill in no field for it say which one they refuse: Google's and Anthropic's words."""

_DETAIL = 300


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
        return Verdict(Outcome.TIME_OUT, "no reply in time", billed=sent)
    if isinstance(error, openai.APIStatusError):
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        if 300 <= error.status_code < 400:
            return _redirected(error.status_code, str(error.request.url), headers.get("location", ""))
        text = error.response.text
        return refused(error.status_code, headers, text, error_of(_json(text)), model)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        name = type(cause).__name__
        return Verdict(Outcome.CONNECTION, f"{name}: {cause}" if cause else "", billed=name not in _NEVER_SENT)
    if isinstance(error, openai.OpenAIError | TypeError):
        return Verdict(Outcome.BAD_REQUEST, str(error), fatal=f"the client cannot ask: {error}", billed=False)
    raise error


def _json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def refused(status: int, headers: Mapping[str, str], text: str, error: Json, model: str = "") -> Verdict:
    """Judge a reply by its HTTP status, its headers, its body's text and the ``error`` object found in it, if any.

    ``model`` is the one asked for, by which an endpoint that has another is known.
    """
    code, message, field = _error_parts(error)
    said = f"HTTP {status}" + (f": {message}" if message else _page(text))
    wait = retry_after(headers)
    wait = _retry_info(error) if wait is None else wait
    if code in _FILTERS:
        return Verdict(Outcome.CONTENT_FILTER, said, billed=False)
    if code == "context_length_exceeded" or (status in (400, 403, 413, 422) and _TOO_LONG.search(message)):
        return Verdict(Outcome.TOO_LONG, said, billed=False)
    if code in _NO_MONEY or status == 402 or _NO_CREDIT.search(message):
        return _stop(f"the account has no money or quota left ({said})")
    if status == 429:
        return Verdict(Outcome.RATE_LIMIT, said, wait=wait, billed=False)
    if status in (408, 409) or status >= 500:
        return Verdict(Outcome.SERVER_ERROR, said, wait=wait, billed=False)
    if status == 401 or (status == 400 and _NO_KEY.search(message)):
        return _stop(f"the key was refused ({said})")
    if status == 403:
        return _stop(f"the key may not do this ({said})")
    if status in (404, 405, 410) or code == "model_not_found" or _no_such(model, message):
        return _stop(f"not found: is the model's name right, and base_url=? ({said})")
    if field in _HINTS and (code in _WRONG_FIELD or _names(field, message)):
        return _stop(f"the endpoint does not take {field} as it is: {_HINTS[field]} ({said})")
    if code in _WRONG_FIELD:
        return _stop(f"the endpoint does not take the request's field {field or 'it names'} ({said})")
    return Verdict(Outcome.BAD_REQUEST, said, billed=False)


def _stop(why: str) -> Verdict:
    return Verdict(Outcome.BAD_REQUEST, why, fatal=why, billed=False)


def _redirected(status: int, asked: str, location: str) -> Verdict:
    """Judge a redirect: its new address is named, without what may be secret in it, and not asked."""
    try:
        parts = urlsplit(urljoin(asked, location))
        found = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        found = ""
    if not location or not found:
        return _stop(f"it redirects (HTTP {status}) without naming a new address: is base_url= right?")
    base = found.removesuffix("/chat/completions")
    return _stop(f"it redirects (HTTP {status}) to {found}, which was not asked; if you trust it, give base_url={base}")


def _no_such(model: str, message: str) -> bool:
    quoted = re.search(rf"['\"`]{re.escape(model)}['\"`]", message) if model else None
    return quoted is not None and _NOT_THERE.search(message) is not None


def _names(field: str, message: str) -> bool:
    return re.search(rf"\b{field}\b", message) is not None


def _error_parts(error: Json) -> tuple[str, str, str]:
    """Return code, message and field, "" for what is not there."""
    if isinstance(error, str):
        return "", error[:_DETAIL], ""
    if isinstance(error, list):  # FastAPI's validation errors
        first = error[0] if error and isinstance(error[0], dict) else {}
        place = first.get("loc")
        field = str(place[-1]) if isinstance(place, list) and place else ""
        return str(first.get("type") or ""), f"{first.get('msg') or ''} {field}".strip()[:_DETAIL], field
    if not isinstance(error, dict):
        return "", "", ""
    code = error.get("code")
    message = error.get("message")
    message = message[:_DETAIL] if isinstance(message, str) else ""
    named = _REFUSED_FIELD.search(message)
    words = [str(one).lower() for one in (code, error.get("type")) if isinstance(one, str) and one]
    known = (*_NO_MONEY, *_WRONG_FIELD, *_FILTERS)
    return (
        next((word for word in words if word in known), words[0] if words else ""),
        message,
        str(error.get("param") or (named and (named["unknown"] or named["unfit"])) or ""),
    )


def _page(text: str) -> str:
    plain = " ".join(re.sub(r"<[^>]*>", " ", text[:4000]).split())
    return f": {plain[:80]}" if plain else ""


def error_of(body: Json) -> Json:
    """Return the error in a body: an object, FastAPI's list of details, a text, or None."""
    if isinstance(body, list) and len(body) == 1:  # Google's
        body = body[0]
    if not isinstance(body, dict):
        return body if isinstance(body, str) else None
    for key in ("error", "detail"):
        if body.get(key):
            return body[key]
    return body if "message" in body else None


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, section 10.2.3), None where there is none to read.

    Both forms are read: seconds, and a date, which is measured against the server's own ``Date`` where that is given,
    so that a clock that is off does no harm. ``retry-after-ms``, which OpenAI sends, goes first. Header names are
    looked up in lower case.
    """
    if (exact := _seconds(headers.get("retry-after-ms"))) is not None:
        return exact / 1000
    text = headers.get("retry-after")
    if (seconds := _seconds(text)) is not None:
        return seconds
    if (moment := _date(text)) is None:
        return None
    base = _date(headers.get("date"))
    if base is None:
        base = time.time() if now is None else now
    return max(0.0, moment - base)


def _retry_info(error: Json) -> float | None:
    """Return the seconds of Google's ``google.rpc.RetryInfo``, which stands in the body in place of a header."""
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (seconds := _seconds(delay.removesuffix("s"))) is not None:
            return seconds
    return None


def _seconds(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*[0-9]+(?:\.[0-9]*)?\s*", text, re.ASCII):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        parts = email.utils.parsedate_tz(text)
        return None if parts is None else float(email.utils.mktime_tz(parts))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
