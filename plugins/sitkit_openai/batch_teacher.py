"""The teacher ``openai`` with ``batch=true``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.errors import TeacherError
from sitkit.types import Generation, Prompting, Question, Reply
from sitkit_openai.options import Options
from sitkit_openai.requests import Ask, asks_of_questions
from sitkit_openai.secrets import find_key, secrets
from sitkit_openai.teacher import OpenAITeacher


class BatchTeacher(OpenAITeacher):
    """A model asked through its provider's batch API; see also `sitkit.types.Submitting`."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._folder: Path | None = None

    def begin(self, folder: Path, *, budget: float | None) -> None:
        """Get ready; ``folder`` keeps what is under way. See `OpenAITeacher.begin`."""
        super().begin(folder, budget=budget)
        self._folder = folder

    def submit(self, questions: Sequence[Question], prompting: Prompting, generation: Generation) -> float:
        """Send batches without waiting; see `sitkit.types.Submitting`."""
        from sitkit_openai.batch import submitted

        asks = asks_of_questions(questions, [question.prompt(prompting) for question in questions])
        key, hidden = find_key(self.options), secrets(self.options)
        submitted(self.options, key, hidden, self._ledger, self._begun(), asks, generation)
        return self._ledger.held

    def _replies(self, asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
        from sitkit_openai.batch import batched

        key, hidden = find_key(self.options), secrets(self.options)
        if not asks:
            return iter(())
        return batched(self.options, key, hidden, self._ledger, self._begun(), asks, generation)

    def _begun(self) -> Path:
        if self._folder is None:
            raise TeacherError("batch=true needs a folder to keep the batch's id in: call begin() first")
        return self._folder
