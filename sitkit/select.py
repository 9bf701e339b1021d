"""Which training questions a run takes: the first ones up to a limit, then a nested random subset of those."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sitkit.errors import RecipeError
from sitkit.types import Json, Question


@dataclass(frozen=True)
class Selection:
    """``limit`` takes the first questions; ``fraction`` a random subset of those by ``seed``, nested: a smaller
    fraction's questions are among a larger one's (the low-resource experiments of Appendix C.1)."""

    limit: int | None
    fraction: float
    seed: int

    def material(self) -> Json:
        """Return what determines the selection; the seed counts only where it changes anything."""
        material: dict[str, Json] = {"limit": self.limit}
        if self.fraction < 1:
            material |= {"fraction": self.fraction, "seed": self.seed}
        return material

    def apply(self, questions: Sequence[Question]) -> list[Question]:
        """Return the selected questions in their own order. Raises `RecipeError` if none is left."""
        first = list(questions[: self.limit])
        if self.fraction < 1:
            keep = math.floor(len(first) * self.fraction + 0.5)
            ranked = sorted(first, key=lambda question: _rank(self.seed, question.id))
            chosen = {question.id for question in ranked[:keep]}
            first = [question for question in first if question.id in chosen]
        if not first:
            raise RecipeError(f"fraction {self.fraction:g} of {len(questions[: self.limit])} questions leaves none")
        return first


def _rank(seed: int, question_id: str) -> bytes:
    return hashlib.sha256(f"{seed}|{question_id}".encode()).digest()
