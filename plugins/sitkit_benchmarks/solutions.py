"""The teacher `gold`: a benchmark's own worked solutions, written by people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sitkit.errors import TeacherError
from sitkit.types import Generation, Json, Prompting, Question


class GoldTeacher:
    """Answers with `Question.solution` when asked to work step by step, with the target alone otherwise."""

    def fingerprint(self) -> Json:
        """Return a constant: the answers are part of the questions, which have a fingerprint of their own."""
        return {"gold": 1}

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield the solutions. Raises `TeacherError` for a benchmark that has none; single gaps stay unanswered."""
        if prompting == "cot":
            solved = {question.benchmark for question in questions if question.solution}
            bare = sorted({question.benchmark for question in questions} - solved)
            if bare:
                raise TeacherError(
                    f"{', '.join(bare)} has no worked solutions, so the teacher 'gold' cannot answer; "
                    "use another teacher (see `sitkit plugins`)"
                )
        for question in questions:
            text = question.solution if prompting == "cot" else question.target_text
            if text:
                yield question.id, text

    def close(self) -> None:
        """Nothing was loaded."""
