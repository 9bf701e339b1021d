"""From what a backend returned to a reply: an answer, the reasoning apart from it, or why there is none."""

from __future__ import annotations

from sitkit.answers.thinking import apart
from sitkit.types import Reply

EMPTY = "empty reply"


def reply(prompt_id: str, text: str | None) -> Reply:
    """Return the reply. lm-eval's endpoints turn many failures into an empty text, so that is never an answer."""
    thought = apart(text or "")
    if thought.answer:
        return Reply(prompt_id, thought.answer, reasoning=thought.reasoning)
    why = "lm-eval gives no reason"
    if thought.reasoning:
        why = "there is reasoning but no answer"
    if not thought.closed:
        why = "the reasoning never ends: allow more tokens (annotate.max_new_tokens)"
    return Reply(prompt_id, outcome=EMPTY, detail=why, reasoning=thought.reasoning)
