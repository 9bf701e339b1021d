"""What a reasoning model thinks aloud before its answer."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """Return a think-block at the start and the answer after it, both stripped.

    The opening tag may be missing: some templates write it into the prompt. Without a closing one there is no answer.
    """
    opened = text.lstrip().startswith(_OPEN)
    thought, closed, answer = text.lstrip().removeprefix(_OPEN).partition(_CLOSE)
    if opened or (closed and _OPEN not in thought):
        return thought.strip(), answer.strip()
    return "", text.strip()
