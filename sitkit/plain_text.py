"""Text from outside (an endpoint's error, a path, a question, a model's answer) made harmless to show."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Controls (escape sequences begin with one), direction marks, and other characters without a look of their own that
change what a reader sees or that no UTF-8 file can hold; tab and newline are none of them."""

_LONGEST = 2000
"""Characters of one line of a message: room for a long path and for what to do, not for a whole document."""


def visible(text: str) -> str:
    """Return the text with controls, direction marks and lone surrogates written out, as in ``‹U+202E›``."""
    return _UNSEEN.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text)


def json_visible(text: str) -> str:
    """Return JSON that holds the same values with the same characters written as ``\\u202e``."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def message_line(text: str) -> str:
    """Return a message as one line that can be shown; of one that is far too long, the middle is left out.

    How many characters were left out is said, and the end stays: that is where a message says what to do.
    """
    line = visible(" ".join(text.split()))
    if len(line) <= _LONGEST:
        return line
    head, tail = 3 * _LONGEST // 4, _LONGEST // 4
    return f"{line[:head]} … ({len(line) - head - tail:,} characters left out) … {line[-tail:]}"
