"""How many tokens a prompt has, without asking anybody."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from sitkit_openai.options import Options

_LETTERS = 4
"""Letters of English prose to a token, as OpenAI's help states (help.openai.com/en/articles/4936856)."""

_TEMPLATE = 8
"""Tokens that roles and separators add to a message, at most: 3 to 4 a message in OpenAI's format, and 3 once."""

_VOCABULARY = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def counter(options: Options) -> Callable[[str], int]:
    """Return the function that estimates a text's tokens.

    tiktoken counts where it is installed, knows the model and has its vocabulary on disk already (it would download
    it otherwise); elsewhere four letters are taken for a token.
    """
    count = _tiktoken(options.model) if options.is_openai else None
    return count or (lambda text: math.ceil(len(text) / _LETTERS))


def estimate(count: Callable[[str], int], options: Options, text: str) -> int:
    """Return the tokens that a prompt and the system prompt will take, about."""
    return count(text) + _TEMPLATE + (count(options.system) + _TEMPLATE if options.system else 0)


def bound(options: Options, text: str) -> int:
    """Return tokens that a prompt cannot pass: byte-level tokenizers have at most one for each byte of UTF-8."""
    return len(text.encode()) + len((options.system or "").encode()) + 64


def _tiktoken(model: str) -> Callable[[str], int] | None:
    try:
        import tiktoken
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    cache = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    if not (cache / hashlib.sha1(_VOCABULARY.format(name).encode(), usedforsecurity=False).hexdigest()).is_file():
        return None
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))
