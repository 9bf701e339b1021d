"""When two rows are the same question: their texts are equal once folded.

The foldings are those by which the sets' known duplicates were counted (docs/benchmarks.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Fold = Callable[[str], str]

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> str:
    """Letters and digits alone, in lower case (NFKC), everything else a blank."""
    return " ".join(_WORD.findall(_compatible(text).lower()))


def lines(text: str) -> str:
    """Lower case (NFKC) with every run of white space a blank: for text in which symbols matter."""
    return " ".join(_compatible(text).lower().split())


def symbols(text: str) -> str:
    """Lower case (NFKC) without white space: for LaTeX."""
    return "".join(_compatible(text).lower().split())


def _compatible(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
