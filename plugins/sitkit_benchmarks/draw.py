"""Which of a source's rows a split takes, and in which order; the same on every machine.

Randomness is the order of sha256 over seed and question id. It is not `random`, whose streams depend on how much was
drawn before, and it differs from what the core's nested fractions rank by, so that a fraction of a draw is fair too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sitkit.types import Json, Question


@dataclass(frozen=True)
class Item:
    """A question and the group of its source it belongs to: a MATH type, an MMLU subject, else its target."""

    question: Question
    group: str


Unwanted = Callable[[Item], bool]


class Draw(Protocol):
    """Takes rows. ``unwanted`` rows are never taken (training rows that stand in the test too)."""

    @property
    def seeded(self) -> bool:
        """Whether the seed changes what is taken."""

    def material(self) -> Json:
        """Return what determines the draw, beside rows and seed; {} for rows as they are."""

    def take(self, items: Sequence[Item], seed: int, unwanted: Unwanted) -> list[Item]:
        """Return the rows taken, in the order in which limits take the first of them."""


@dataclass(frozen=True)
class Whole:
    """All rows in the source's order."""

    seeded = False

    def material(self) -> Json:
        """Return {}: nothing is drawn."""
        return {}

    def take(self, items: Sequence[Item], seed: int, unwanted: Unwanted) -> list[Item]:
        """Return every row that is wanted."""
        return [item for item in items if not unwanted(item)]


@dataclass(frozen=True)
class Mixed:
    """All rows in one fixed random order: for a source sorted by type, so that its first rows are a fair sample."""

    seeded = False

    def material(self) -> Json:
        """Return that the order is mixed."""
        return {"draw": "mixed"}

    def take(self, items: Sequence[Item], seed: int, unwanted: Unwanted) -> list[Item]:
        """Return every row that is wanted, in an order that no seed changes."""
        return _mixed([item for item in items if not unwanted(item)], seed=0)


@dataclass(frozen=True)
class Balanced:
    """The same number of rows of each class, the classes taking turns: any first rows are balanced within one.

    A source with too few rows of a class gives fewer of each.
    """

    per_class: int
    seeded = True

    def material(self) -> Json:
        """Return the number of rows a class."""
        return {"draw": "balanced", "per_class": self.per_class}

    def take(self, items: Sequence[Item], seed: int, unwanted: Unwanted) -> list[Item]:
        """Return the rows of lowest rank in each class."""
        classes = _groups(_mixed([item for item in items if not unwanted(item)], seed))
        count = min([self.per_class, *map(len, classes)])
        rounds = zip(*(rows[:count] for rows in classes), strict=True)
        return [item for one in rounds for item in _mixed(one, seed)]


@dataclass(frozen=True)
class Share:
    """A share of each group's rows by seed, or with ``rest`` what it leaves; in random order by seed."""

    share: float
    rest: bool = False
    seeded = True

    def material(self) -> Json:
        """Return the share, and which side of it."""
        return {"draw": "rest" if self.rest else "share", "share": self.share}

    def take(self, items: Sequence[Item], seed: int, unwanted: Unwanted) -> list[Item]:
        """Return the rows of lowest rank in each group, or the others."""
        taken = list[Item]()
        for rows in _groups(_mixed(items, seed)):
            border = math.floor(len(rows) * self.share + 0.5)
            taken += rows[border:] if self.rest else rows[:border]
        # Ranked anew: by the ranks it was divided by, a group whose border lies low would come first.
        return _mixed([item for item in taken if not unwanted(item)], seed, purpose="order")


def _groups(items: Sequence[Item]) -> list[list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return [groups[name] for name in sorted(groups)]


def _mixed(items: Sequence[Item], seed: int, purpose: str = "draw") -> list[Item]:
    return sorted(items, key=lambda item: hashlib.sha256(f"{purpose}|{seed}|{item.question.id}".encode()).digest())
