"""What a reasoning model thinks aloud, between ``<think>`` and ``</think>``, apart from what it answers.

Models name the block differently: ``<think>`` (DeepSeek-R1, QwQ, Qwen3), ``[THINK]`` (Magistral), ``<thinking>``,
``<thought>``, ``<reasoning>``. All are known, in any case and anywhere in a text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OPENS, CLOSES = "<think>", "</think>"
"""How chat templates that think begin a block and end it."""

_TAG = re.compile(r"<(?P<end>/?)(?P<name>think|thinking|thought|reasoning)>|\[(?P<other_end>/?)THINK\]", re.IGNORECASE)


class Thought(NamedTuple):
    """A text in two parts, both stripped. ``closed`` is false where the text ends before the thinking does."""

    reasoning: str
    answer: str
    closed: bool = True


class _Tag(NamedTuple):
    start: int
    end: int
    name: str
    closing: bool


def apart(text: str) -> Thought:
    """Return what is thought and what is answered; takes time linear in the text.

    The answer is what follows the last block; if nothing does, what stands outside the blocks. A block ends with the
    next closing tag of its own name, or of any name where its own never comes; other tags inside are part of it. A
    block without its beginning, which some chat templates write into the prompt, begins where the block before it
    ended, the first one with the text. A text that ends within a block has no answer.
    """
    tags = [
        _Tag(found.start(), found.end(), (found["name"] or "[]").lower(), bool(found["end"] or found["other_end"]))
        for found in _TAG.finditer(text)
    ]
    last_closing = {tag.name: index for index, tag in enumerate(tags) if tag.closing}
    thoughts, outside = list[str](), list[str]()
    opened: _Tag | None = None
    position = 0
    for index, tag in enumerate(tags):
        if opened is None and not tag.closing:
            outside.append(text[position : tag.start])
            opened, position = tag, tag.end
        elif tag.closing and (opened is None or tag.name == opened.name or last_closing.get(opened.name, -1) < index):
            thoughts.append(text[position : tag.start])
            opened, position = None, tag.end
    if opened is not None:
        return Thought(_joined([*thoughts, text[position:]]), "", closed=False)
    return Thought(_joined(thoughts), text[position:].strip() or _joined(outside))


def without_thoughts(text: str) -> str:
    """Return the answer in a text; a text without blocks as it is."""
    return apart(text).answer if _TAG.search(text) else text


def _joined(parts: list[str]) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())
