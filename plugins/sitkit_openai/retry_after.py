"""How long an endpoint asks to wait."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, section 10.2.3), None where there is none to read.

    Both forms are read: seconds, and a date, which is measured against the server's own ``Date`` where that is given,
    so that a clock that is off does no harm. ``retry-after-ms``, which OpenAI sends, goes first. Header names are
    looked up in lower case.
    """
    if (exact := _number(headers.get("retry-after-ms"))) is not None:
        return exact / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    if (moment := _date(text)) is None:
        return None
    base = _date(headers.get("date"))
    if base is None:
        base = time.time() if now is None else now
    return max(0.0, moment - base)


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*[0-9]+(?:\.[0-9]*)?\s*", text, re.ASCII):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        parts = email.utils.parsedate_tz(text)
        return None if parts is None else float(email.utils.mktime_tz(parts))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
