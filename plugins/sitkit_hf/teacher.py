"""The teacher ``hf``: a model run here that answers training questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sitkit.errors import ModelError, TeacherError
from sitkit.types import Generation, Json, Prompt, Prompting, Question
from sitkit_hf.fingerprint import fingerprint
from sitkit_hf.loading import Models
from sitkit_hf.options import Options


class HfTeacher:
    """A causal language model asked with the benchmark's own prompts; see `sitkit.types.Teacher`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.models = Models(options)

    def fingerprint(self) -> Json:
        """Return hashes of the model's files, or its hub id and revision, and the options that matter."""
        return fingerprint(self.options)

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str]]:
        """Yield (question id, completion) as batches finish. Raises `TeacherError` if the model cannot be run."""
        from sitkit_hf.answering import answers

        ids = {f"{question.benchmark}/{question.id}": question.id for question in questions}
        prompts = [Prompt(f"{question.benchmark}/{question.id}", question.prompt(prompting)) for question in questions]
        try:
            for prompt_id, completion in answers(self.models, None, prompts, generation):
                yield ids[prompt_id], completion
        except ModelError as error:
            raise TeacherError(str(error)) from error

    def close(self) -> None:
        """Free what was loaded."""
        self.models.close()
