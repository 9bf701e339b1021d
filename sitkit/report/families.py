"""Whether teacher and student are of one family, as far as their names say (the paper's in-family and out-family)."""

from __future__ import annotations

import re

_KIN = {"mixtral": "mistral", "ministral": "mistral", "codellama": "llama", "qwq": "qwen"}
"""Names that do not begin as their family's: the paper takes Mixtral and Mistral as one."""


def family(spec: str) -> str:
    """Return the first word of a model's name: ``hf:meta-llama/Llama-2-7b-chat-hf`` is of the family llama."""
    name = re.split(r"[/:]", spec.partition(",")[0].rstrip("/"))[-1].lower()
    found = re.match(r"[a-z]+", name)
    word = found[0] if found else name
    return _KIN.get(word, word)


def relation(teacher: str, student: str) -> str:
    """Return ``in-family`` or ``out-family``."""
    return "in-family" if family(teacher) == family(student) else "out-family"
