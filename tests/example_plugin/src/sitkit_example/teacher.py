"""The teacher "speller"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sitkit.types import Generation, Json, Prompting, Question
from sitkit_example.benchmark import spelled, word


@dataclass
class Speller:
    """Spells words out; about one in ``slips`` counts one letter too many (0: none)."""

    slips: int = 0

    def fingerprint(self) -> Json:
        """Return all that determines the answers."""
        return {"slips": self.slips}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield one answer a question; a slip depends on the word alone, so that an interruption changes nothing."""
        for question in questions:
            of = word(question.question)
            slip = bool(self.slips) and sum(map(ord, of)) % self.slips == 0
            yield question.id, spelled(of, len(of) + slip)

    def close(self) -> None:
        """Nothing was loaded."""
