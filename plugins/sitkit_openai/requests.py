"""What is asked: one request body a prompt, the same whether it goes out alone or in a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sitkit.types import Generation, Json, Prompt, Question
from sitkit_openai.options import Options


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
    messages = [{"role": "system", "content": options.system}] if options.system else []
    messages.append({"role": "user", "content": ask.text})
    asked: dict[str, Json] = {
        "model": options.model,
        "messages": messages,
        "temperature": generation.temperature,
        options.max_tokens_field: generation.max_new_tokens,
    }
    if options.seed:
        asked["seed"] = seed(generation.seed, ask.stream)
    if options.stop and generation.stop:
        asked["stop"] = list(generation.stop[:4])
    if options.top_p is not None:
        asked["top_p"] = options.top_p
    if options.reasoning_effort is not None:
        asked["reasoning_effort"] = options.reasoning_effort
    return {**asked, **(options.extra_body or {})}


def seed(run: int, stream: str) -> int:
    """Return the seed of a prompt, 31 bits of sha256, which every server takes."""
    return int.from_bytes(hashlib.sha256(f"{run}\0{stream}".encode()).digest()[:4], "big") >> 1


def digest(asked: Json) -> str:
    """Return a short name of a request, the same for equal requests."""
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:40]
