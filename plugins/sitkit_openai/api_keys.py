"""Where the key comes from, and how it is kept out of every text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from sitkit.errors import TeacherError
from sitkit_openai.options import Options

_MASK = "[secret]"
_SHARED = 6
"""Letters in a row shared with a secret that are taken for a part of it; providers echo heads and tails of keys."""

_WHOLE = 8
"""Letters of a secret that is looked for in answers: shorter ones may be words."""

_LIKE_A_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|nvapi|key)[-_][\w*.-]*[\w*]"  # the prefixes providers give their keys
    r"|[\w-]*\*{2,}[\w*-]*"  # a key shown in part: abcd****wxyz
    r"|\bAIza[\w-]{8,}"  # Google's
    r"|(?<=[Bb]earer )\S+"
)


def find_key(options: Options) -> str:
    """Return the key to send. Raises `TeacherError`, in one line and before any call, where there must be one."""
    key = os.environ.get(options.key_env, "").strip()
    if key:
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise TeacherError(
                f"the environment variable {options.key_env} is not a valid key: it has blanks or unusual characters"
            )
        return key
    if options.is_local or _sends_own_header(options):
        return "none"
    raise TeacherError(
        f"openai:{options.model} at {options.host} needs a key: set the environment variable {options.key_env}"
        + ("" if options.key_env != "OPENAI_API_KEY" else ", or name another one with key_env=NAME")
    )


def _sends_own_header(options: Options) -> bool:
    # The client sends these with every call, so a key may be among them.
    return (
        "authorization" in os.environ.get("OPENAI_CUSTOM_HEADERS", "").lower() and options.key_env == "OPENAI_API_KEY"
    )


def find_secrets(options: Options) -> tuple[str, ...]:
    """Return every text of the client's configuration that must not be shown."""
    found = [os.environ.get(name, "") for name in (options.key_env, "OPENAI_API_KEY", "OPENAI_ADMIN_KEY")]
    found += [line.partition(":")[2] for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()]
    url = os.environ.get("OPENAI_BASE_URL", "")
    if "@" in url:
        found += url.rpartition("@")[0].rpartition("/")[2].split(":")
    found += url.partition("?")[2].split("&")
    return tuple(text.strip() for text in found if text.strip())


def scrub(text: str, hidden: Iterable[str]) -> str:
    """Return the text without secrets, parts of them, and whatever looks like a key, on one line."""
    for secret in hidden:
        text = _without(text, secret)
    return " ".join(_LIKE_A_KEY.sub(_MASK, text).split())


def without_keys(text: str, hidden: Iterable[str]) -> str:
    """Return an answer without whole secrets, should an endpoint repeat one in it; all else is left as it was said."""
    for secret in hidden:
        for word in secret.split():
            if len(word) >= _WHOLE:
                text = text.replace(word, _MASK)
    return text


def _without(text: str, secret: str) -> str:
    if len(secret) < _SHARED:
        return text.replace(secret, _MASK) if len(secret) > 2 else text
    parts = {secret[start : start + _SHARED] for start in range(len(secret) - _SHARED + 1)}
    kept, position = list[str](), 0
    while position < len(text):
        end = position
        while text[end : end + _SHARED] in parts:
            end += 1
        if end == position:
            kept.append(text[position])
            position += 1
        else:
            kept.append(_MASK)
            position = end + _SHARED - 1
    return "".join(kept)


def shown(text: str, hidden: Iterable[str]) -> str:
    """Return a text fit to be shown and stored: one line, no secret, not too long."""
    text = scrub(text, hidden)
    return text if len(text) <= 400 else f"{text[:399]}…"
