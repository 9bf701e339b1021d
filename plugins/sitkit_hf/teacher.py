"""The teacher ``hf``: a model run here that answers training questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sitkit.errors import ModelError, TeacherError
from sitkit.types import Generation, Json, Prompt, Prompting, Question, Reply
from sitkit_hf.fingerprint import fingerprint
from sitkit_hf.loading import Models
from sitkit_hf.options import Options


class HfTeacher:
    """A causal language model asked with the benchmark's own prompts; see `sitkit.types.Teacher` and `PromptCompleter`.

    It answers in full precision, or from 4-bit weights with ``quantize=nf4``.
    """

    def __init__(self, options: Options) -> None:
        self.options = replace(options, quantize="none") if options.quantize == "auto" else options
        self.models = Models(self.options, trained=False)

    def fingerprint(self) -> Json:
        """Return hashes of the model's files, or its hub id and revision, and the options that matter."""
        return fingerprint(self.options)

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str] | Reply]:
        """Yield a reply to each question as batches finish. Raises `TeacherError` if the model cannot be run."""
        ids = {f"{question.benchmark}/{question.id}": question.id for question in questions}
        prompts = [Prompt(f"{question.benchmark}/{question.id}", question.prompt(prompting)) for question in questions]
        for reply in self.complete(prompts, generation):
            yield replace(reply, id=ids[reply.id])

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
        """Yield a reply to each prompt as batches finish. Raises `TeacherError` if the model cannot be run."""
        from sitkit_hf.answering import replies

        try:
            yield from replies(self.models, prompts, generation)
        except ModelError as error:
            raise TeacherError(str(error)) from error

    def close(self) -> None:
        """Free what was loaded."""
        self.models.close()
