"""What a reasoning model thinks aloud, between ``<think>`` and ``</think>``, apart from what it answers."""

from __future__ import annotations

from typing import NamedTuple

OPENS, CLOSES = "<think>", "</think>"


class Thought(NamedTuple):
    """A text in two parts, both stripped. ``closed`` is false where the text ends before the thinking does."""

    reasoning: str
    answer: str
    closed: bool = True


def apart(text: str) -> Thought:
    """Return what is thought and what is answered.

    The answer is what follows the last block; if nothing does, what stands outside the blocks. A block without its
    beginning, which some chat templates write into the prompt, begins with the text. A text that ends within a block
    has no answer.
    """
    if OPENS not in text and CLOSES not in text:
        return Thought("", text.strip())
    *before, rest = text.split(CLOSES)
    thoughts, outside = list[str](), list[str]()
    for part in before:
        said, opened, thought = part.partition(OPENS)
        thoughts.append(thought if opened else said)
        outside.append(said if opened else "")
    answer, opened, thought = rest.partition(OPENS)
    if opened:
        return Thought(_joined([*thoughts, thought]), "", closed=False)
    return Thought(_joined(thoughts), answer.strip() or _joined(outside))


def _joined(parts: list[str]) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())
