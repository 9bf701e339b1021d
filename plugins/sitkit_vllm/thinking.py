"""What a reasoning model thinks aloud before its answer."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """Return a think-block at the start and the answer after it, both stripped.

    The opening tag may be missing: some templates write it into the prompt. Without a closing one there is no answer.
    """
    opened = text.lstrip().startswith(_OPEN)
    if not opened and _CLOSE not in text:
        return "", text.strip()
    if opened:
        text = text.lstrip().removeprefix(_OPEN)
    reasoning, _, answer = text.partition(_CLOSE)
    return reasoning.strip(), answer.strip()
