"""What a reasoning model thought aloud, told apart from its answer."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\s*(?:<(think|thinking|thought|reasoning)>|\[(THINK)\])", re.IGNORECASE)
_CLOSE_ALONE = re.compile(r"</think>", re.IGNORECASE)


def split_thought(text: str) -> tuple[str, str, bool]:
    """Return (reasoning, answer, closed) of a reply whose thought may stand in a block at its beginning.

    ``closed`` is False where the block was never ended, so that all there is is thought. A block whose opening tag
    is missing is known too: chat templates of DeepSeek-R1 and QwQ put the tag into the prompt.
    """
    thoughts = []
    while opening := _OPEN.match(text):
        name = opening[1] or opening[2]
        closing = re.compile(rf"</{name}>|\[/{name}\]", re.IGNORECASE).search(text, opening.end())
        if closing is None:
            thoughts.append(text[opening.end() :])
            return _joined(thoughts), "", False
        thoughts.append(text[opening.end() : closing.start()])
        text = text[closing.end() :]
    if not thoughts and (closing := _CLOSE_ALONE.search(text)) and "<think>" not in text[: closing.start()].lower():
        return text[: closing.start()].strip(), text[closing.end() :].strip(), True
    return _joined(thoughts), text.strip() if thoughts else text, True


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
