"""The teacher ``hf``: a model run here that answers training questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sitkit.answers.thinking import apart
from sitkit.capabilities import Footprint
from sitkit.errors import ModelError, TeacherError
from sitkit.plugin_support import end_tokens, own_sampling
from sitkit.settings import Settings
from sitkit.types import ANSWERED, TRUNCATED, Generation, Json, Prompt, Prompting, Question, Reply
from sitkit_hf.fingerprint import fingerprint
from sitkit_hf.loading import Models
from sitkit_hf.options import Options, gpu_memory


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
        try:
            yield from self._replies(prompts, generation)
        except ModelError as error:
            raise TeacherError(str(error)) from error

    def footprint(self, settings: Settings) -> Footprint | None:
        """Return what it takes on a GPU, from its config and the headers of its weights."""
        from sitkit_hf.footprint import footprint

        return footprint(self.options, settings, trained=False)

    def gpu_memory(self) -> Sequence[int]:
        """Return the bytes of each GPU that it would run on."""
        return gpu_memory(self.options)

    def close(self) -> None:
        """Free what was loaded."""
        self.models.close()

    def _replies(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
        """Yield replies, what the model thinks aloud kept apart.

        `TRUNCATED`: the answer takes all the tokens it may have, or ends before the thinking does.
        """
        if not prompts:
            return
        from sitkit_hf.generation import complete
        from sitkit_hf.prompts import Prompts

        generation = own_sampling(generation, self.options.temperature, self.options.top_p)
        model = self.models.generator(None)
        joined = Prompts(self.models.tokenizer(), self.options, end_tokens(model.generation_config))
        texts = {prompt.id: prompt.text for prompt in prompts}
        for given in complete(model, joined, prompts, generation, batch_size=self.options.batch_size):
            written = joined.count(given.text)
            thought = apart(joined.opening + given.text)
            cut = not thought.closed or given.truncated
            empty = not cut and not thought.answer.strip()
            yield Reply(
                id=given.id,
                completion=thought.answer,
                outcome=TRUNCATED if cut else "empty reply" if empty else ANSWERED,
                reasoning=thought.reasoning,
                prompt_tokens=len(joined.prompt(texts[given.id])),
                completion_tokens=written,
            )
