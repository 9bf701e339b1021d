"""Sizes and times for people."""

from __future__ import annotations

from datetime import datetime


def size_text(count: int) -> str:
    """Return bytes in a unit that fits: ``812 B``, ``3.1 MB`` (a MB is a million bytes)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(seconds: float) -> str:
    """Return a moment (seconds since the epoch) in local time, to the minute."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
