"""Keys: the sha256 of canonical JSON."""

from __future__ import annotations

import hashlib
import json

from sitkit.types import Json


def canonical(value: Json) -> bytes:
    """Return JSON with sorted keys and no spaces. Raises TypeError or ValueError for what JSON does not have."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def make_key(material: Json) -> str:
    """Return the key (64 hex digits) of everything that determines a stage."""
    return hashlib.sha256(canonical(material)).hexdigest()
