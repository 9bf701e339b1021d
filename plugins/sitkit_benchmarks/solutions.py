"""The teacher `gold`: a benchmark's own worked solutions, written by people."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from sitkit.plugin_support import NOTICES
from sitkit.types import Generation, Json, Prompting, Question


class GoldTeacher:
    """Answers with `Question.solution` when asked to work step by step, with the target alone otherwise.

    Where a question has no worked solution (the QA sets, MultiArith), its answer is the target in a sentence: an
    answer to learn, but no reasoning, which the user is told.
    """

    def fingerprint(self) -> Json:
        """Return a constant: the answers are part of the questions, which have a fingerprint of their own."""
        return {"gold": 2}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield an answer to every question."""
        if prompting == "cot":
            bare = sorted({question.benchmark for question in questions if not question.solution})
            if bare:
                logging.getLogger(NOTICES).warning(
                    "%s has questions without a worked solution: gold's demonstrations of these are the bare answer, so"
                    " there is no reasoning to learn from; another teacher can give some",
                    ", ".join(bare),
                )
        for question in questions:
            stated = f"The answer is {question.target_text}."
            yield question.id, (question.solution or stated) if prompting == "cot" else question.target_text

    def close(self) -> None:
        """Nothing was loaded."""
