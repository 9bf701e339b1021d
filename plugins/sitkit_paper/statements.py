"""The paper's claims, read from claims.json: each in a sentence, and as comparisons that cells decide."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sitkit.types import Json

Subject = Literal["scores", "teachers", "best teacher", "judge", "families", "fractions"]
Rule = Literal["every", "most", "mean", "some", "near"]
"""When a - b bears a claim out: it is above 0 in every cell, in more than half of them, on average, in at least one;
or its mean is within a tolerance of what is expected."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison, a minus b. ``of``: which figures; ``cells``: which of them; ``below``: a < b is what is claimed.

    ``benchmarks`` restricts it to some (empty: all). ``expected`` and ``tolerance`` are in points, for "near".
    ``in_family`` leaves out students of a teacher known to be of another family. ``label`` tells it from the claim's
    other parts.
    """

    of: Subject
    rule: Rule
    a: str = ""
    b: str = ""
    cells: str = ""
    below: bool = False
    benchmarks: tuple[str, ...] = ()
    expected: float = 0.0
    tolerance: float = 0.0
    in_family: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim; all its parts must hold. Not ``said``: a pattern of the paper's tables that it does not mention."""

    id: str
    source: str
    said: bool
    text: str
    parts: tuple[Clause, ...]


@cache
def statements() -> tuple[Claim, ...]:
    """Return the claims, in the paper's order, then the patterns."""
    content = json.loads(Path(__file__).with_name("claims.json").read_text(encoding="utf-8"))
    return tuple(
        Claim(one["id"], one["source"], one["said"], one["text"], tuple(_part(part) for part in one["parts"]))
        for one in content["claims"]
    )


def _part(content: Json) -> Clause:
    return Clause(**{**content, "benchmarks": tuple(content.get("benchmarks", ()))})
