"""From what a backend returned to a reply: an answer, the reasoning apart from it, or why there is none."""

from __future__ import annotations

from sitkit.types import Reply

_OPEN, _CLOSE = "<think>", "</think>"


def reply(prompt_id: str, text: str | None) -> Reply:
    """Return the reply. lm-eval's endpoints turn many failures into an empty text, so that is never an answer."""
    if text is None or not text.strip():
        return Reply(prompt_id, outcome="empty reply", detail="lm-eval gives no reason")
    reasoning, answer = split_reasoning(text)
    if not answer:
        return Reply(
            prompt_id,
            outcome="no answer after reasoning",
            detail="the thinking did not end; allow more tokens (annotate.max_new_tokens)",
            reasoning=reasoning,
        )
    return Reply(prompt_id, answer, reasoning=reasoning)


def split_reasoning(text: str) -> tuple[str, str]:
    """Return a think-block at the start and the answer after it, both stripped.

    The opening tag may be missing: some templates write it into the prompt. Without a closing one there is no answer.
    """
    opened = text.lstrip().startswith(_OPEN)
    thought, closed, answer = text.lstrip().removeprefix(_OPEN).partition(_CLOSE)
    if opened or (closed and _OPEN not in thought):
        return thought.strip(), answer.strip()
    return "", text.strip()
