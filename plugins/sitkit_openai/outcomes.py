"""What a completion that came back with HTTP 200 is: an answer, an answer cut short, or one of the named failures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sitkit.answers.thinking import apart
from sitkit.types import ANSWERED, TRUNCATED, Json


class Outcome:
    """Why there is no answer: the outcomes of replies that failed, in words that can be counted."""

    TIME_OUT = "time-out"
    CONNECTION = "connection lost"
    SERVER_ERROR = "server error"
    RATE_LIMIT = "rate limit"
    MALFORMED = "malformed reply"
    NO_CHOICES = "no choices"
    EMPTY = "empty reply"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content filter"
    TOO_LONG = "context too long"
    BAD_REQUEST = "bad request"
    BATCH_EXPIRED = "batch expired"
    BATCH_FAILED = "batch failed"
    BATCH_CANCELLED = "batch cancelled"


PASSING = frozenset(
    {
        Outcome.TIME_OUT,
        Outcome.CONNECTION,
        Outcome.SERVER_ERROR,
        Outcome.RATE_LIMIT,
        Outcome.MALFORMED,
        Outcome.NO_CHOICES,
        Outcome.EMPTY,
    }
)
"""What may be gone at the next attempt, and is therefore tried again within a run."""

_FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii")
"""How a filter ends an answer, in lower case: OpenAI's word, which Google's endpoint may go on after, and Google's."""


@dataclass(frozen=True)
class Verdict:
    """One attempt judged: the outcome (see `sitkit.types.Reply`), the text, and what it used.

    ``wait``: seconds the endpoint asks everybody to wait; ``fatal``: going on makes no sense, for this reason;
    ``billed`` is False where nothing can have been charged for; the tokens are None where the endpoint named none.
    """

    outcome: str
    detail: str = ""
    completion: str = ""
    reasoning: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    wait: float | None = None
    fatal: str | None = None
    billed: bool = True

    @property
    def passing(self) -> bool:
        """Whether another attempt may fare better."""
        return self.outcome in PASSING


def read_body(content: bytes) -> Json | Verdict:
    """Return the JSON object of a body, or why it is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        page = content.lstrip()[:200].lower()
        what = "an HTML page" if page.startswith((b"<!doctype", b"<html", b"<head")) else "no JSON"
        return Verdict(Outcome.MALFORMED, f"the body is {what}")
    return body if isinstance(body, dict) else Verdict(Outcome.MALFORMED, "the body is not a JSON object")


def judge(body: Json) -> Verdict:
    """Judge the body of a chat completion, a JSON object."""
    into, out = _usage(body)

    def failed(outcome: str, detail: str = "", reasoning: str = "") -> Verdict:
        return Verdict(outcome, detail, reasoning=reasoning, prompt_tokens=into, completion_tokens=out)

    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        return failed(Outcome.NO_CHOICES, "the reply has no choices")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return failed(Outcome.MALFORMED, "the choice has no message")
    finish = str(choice.get("finish_reason")).lower()
    try:
        text, thought = _texts(message)
    except TypeError:
        return failed(Outcome.MALFORMED, "the content is not text")
    inline, answer, closed = apart(text)
    reasoning = "\n\n".join(part for part in (thought.strip(), inline) if part)
    if finish.startswith(_FILTERED):
        return failed(Outcome.CONTENT_FILTER, "the endpoint's filter stopped the answer", reasoning)
    refusal = message.get("refusal")
    if finish == "refusal" or (isinstance(refusal, str) and refusal.strip()):
        return failed(Outcome.REFUSAL, refusal or answer, reasoning)
    if finish in ("length", "max_tokens"):
        return Verdict(TRUNCATED, "", answer, reasoning, into, out)
    if not answer:
        why = "the content is null" if message.get("content") is None else "the content is empty"
        if reasoning:
            why = "there is reasoning but no answer" if closed else "the reasoning never ends"
        elif message.get("tool_calls"):
            why = "a tool call in place of an answer"
        return failed(Outcome.EMPTY, why, reasoning)
    return Verdict(ANSWERED, "", answer, reasoning, into, out)


def _texts(message: dict[str, Any]) -> tuple[str, str]:
    """Return content and reasoning; raises TypeError if the content is neither text, null nor a list of parts."""
    # vLLM calls it reasoning (once reasoning_content), DeepSeek reasoning_content, OpenRouter reasoning.
    thought = next(
        (found for key in ("reasoning", "reasoning_content") if isinstance(found := message.get(key), str)), ""
    )
    content = message.get("content")
    if content is None:
        return "", thought
    if isinstance(content, str):
        return content, thought
    if not isinstance(content, list):
        raise TypeError
    texts, thoughts = list[str](), [thought]
    for part in content:
        if not isinstance(part, dict):
            raise TypeError
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part.get("thinking"), list):  # Mistral's reasoning models
            thoughts += [one["text"] for one in part["thinking"] if isinstance(one, dict) and "text" in one]
    return "".join(texts), "\n".join(one for one in thoughts if one)


def _usage(body: Json) -> tuple[int | None, int | None]:
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None, None
    into, out, both = (_tokens(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if into is not None and both is not None:
        # Google's endpoint counts what was thought, and charged for, in the total alone.
        out = max(out or 0, both - into)
    return into, out


def _tokens(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None
