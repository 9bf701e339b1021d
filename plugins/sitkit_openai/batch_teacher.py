"""The teacher ``openai`` with ``batch=true``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit.errors import TeacherError
from sitkit.types import Generation, Prompting, Question, Reply
from sitkit_openai.options import Options
from sitkit_openai.requests import Ask, asks_of_questions
from sitkit_openai.secrets import find_key, secrets
from sitkit_openai.teacher import OpenAITeacher

if TYPE_CHECKING:
    from sitkit_openai.batch import Batches


class BatchTeacher(OpenAITeacher):
    """A model asked through its provider's batch API; see also `sitkit.capabilities.BatchSubmitter`."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._folder: Path | None = None

    def begin(self, folder: Path, *, budget: float | None) -> None:
        """Get ready; ``folder`` keeps what is under way. See `OpenAITeacher.begin`."""
        super().begin(folder, budget=budget)
        self._folder = folder

    def submit(self, questions: Sequence[Question], prompting: Prompting, generation: Generation) -> float:
        """Send batches without waiting; see `sitkit.capabilities.BatchSubmitter`."""
        asks = asks_of_questions(questions, [question.prompt(prompting) for question in questions])
        with self._batches() as batches:
            batches.send(asks, generation)
        return self._ledger.held

    def _replies(self, asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
        # Made here, so that a missing key shows before the first reply is waited for.
        batches = self._batches()
        return _through(batches, asks, generation) if asks else iter(())

    def _batches(self) -> AbstractContextManager[Batches]:
        from sitkit_openai.batch import opened

        if self._folder is None:
            raise TeacherError("batch=true needs a folder to keep the batch's id in: call begin() first")
        return opened(self.options, find_key(self.options), secrets(self.options), self._ledger, self._folder)


def _through(opened: AbstractContextManager[Batches], asks: Sequence[Ask], generation: Generation) -> Iterator[Reply]:
    with opened as batches:
        yield from batches.replies(asks, generation)
