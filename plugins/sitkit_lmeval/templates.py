"""From a prompt to what a backend is asked: as it is, or as a user's turn in the backend's chat template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sitkit.errors import TeacherError
from sitkit_lmeval.backend import one_line
from sitkit_lmeval.options import Options


def render(model: Any, options: Options) -> Callable[[str], Any]:
    """Return the function that makes a prompt what the backend takes.

    Raises `TeacherError` where the template asked for is not there, or the one that is there cannot be left out.
    """
    messages_only = any("Chat" in kind.__name__ for kind in type(model).__mro__)
    if options.chat_template == "off":
        if messages_only:
            raise TeacherError(f"chat_template=off: lm-eval's {options.backend} takes chat messages only")
        return lambda prompt: prompt
    if not messages_only and not _has_template(model, options):
        if options.chat_template == "on":
            raise TeacherError(f"chat_template=on, but lm-eval's {options.backend} has no chat template here")
        return lambda prompt: prompt
    return lambda prompt: model.apply_chat_template([{"role": "user", "content": prompt}])


def _has_template(model: Any, options: Options) -> bool:
    try:
        return bool(model.chat_template(True))
    except ValueError as error:
        raise TeacherError(f"lm-eval's {options.backend}: {one_line(error)}") from error
