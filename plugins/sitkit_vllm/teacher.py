"""The teacher ``vllm``: a model run here by vLLM that answers training questions, or any prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sitkit.answers.thinking import apart
from sitkit.capabilities import Footprint, LocalModel, PromptCompleter
from sitkit.errors import ModelError, TeacherError
from sitkit.plugin_support import own_sampling
from sitkit.settings import Settings
from sitkit.types import ANSWERED, TRUNCATED, Generation, Json, Prompt, Prompting, Question, Reply, Teacher
from sitkit_vllm.engine import Engine, Request, Written
from sitkit_vllm.installed import MissingVllmNotice, vllm_version
from sitkit_vllm.options import Options
from sitkit_vllm.student import engine_fingerprint, engine_footprint


class VllmTeacher:
    """A causal language model asked with the benchmark's own prompts; see `sitkit.types.Teacher`, `PromptCompleter`."""

    def __init__(self, hf: Teacher, options: Options) -> None:
        self.hf = hf
        self.options = options
        self.version = vllm_version()
        self.engine = Engine(options)
        self.missing = MissingVllmNotice(options.name)

    def fingerprint(self) -> Json:
        """Return that of the teacher ``hf``, under vLLM's version and options where vLLM answers."""
        if self.version is None:
            return self.hf.fingerprint()
        return engine_fingerprint(self.hf.fingerprint(), self.version, self.options)

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str] | Reply]:
        """Yield a reply a question as chunks finish. Raises `TeacherError` if vLLM is there but cannot run the model.

        Where it is not installed the teacher ``hf`` answers, with a notice.
        """
        if self.version is None:
            self.missing.give()
            yield from self.hf.answer(questions, prompting, generation)
            return
        ids = [question.id for question in questions]
        prompts = [Prompt(f"{question.benchmark}/{question.id}", question.prompt(prompting)) for question in questions]
        yield from self._ask(ids, prompts, generation)

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[tuple[str, str] | Reply]:
        """Yield a reply a prompt, as `answer` does."""
        if self.version is not None:
            yield from self._ask([prompt.id for prompt in prompts], prompts, generation)
            return
        if not isinstance(self.hf, PromptCompleter):
            raise TeacherError("vLLM is not installed here, and the teacher hf answers questions only")
        self.missing.give()
        yield from self.hf.complete(prompts, generation)

    def footprint(self, settings: Settings) -> Footprint | None:
        """Return what the teacher ``hf`` says of itself, its answers as the engine writes them where vLLM is there."""
        return engine_footprint(self.hf, settings, self.options, installed=self.version is not None)

    def gpu_memory(self) -> Sequence[int]:
        """Return the bytes of each GPU that it would run on."""
        return self.hf.gpu_memory() if isinstance(self.hf, LocalModel) else ()

    def close(self) -> None:
        """Free what was loaded."""
        self.engine.close()
        self.hf.close()

    def _ask(self, ids: Sequence[str], prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
        if not prompts:
            return
        from sitkit_vllm.generation import complete, load_prompts

        try:
            asked = load_prompts(self.options)
            generation = own_sampling(generation, self.options.temperature, self.options.top_p)
            for name, (_, request, written) in zip(
                ids, complete(self.engine, asked, None, prompts, generation), strict=True
            ):
                yield reply(name, request, written, asked.opening)
        except ModelError as error:
            raise TeacherError(str(error)) from error


def reply(name: str, request: Request, written: Written, opening: str = "") -> Reply:
    """Return what was written as a reply: what was thought apart, cut short at the limit, or no answer at all.

    ``opening`` is what the prompt held of a thinking block already.
    """
    thought = apart(opening + written.text)
    outcome, detail = (TRUNCATED if written.truncated else ANSWERED), ""
    if not thought.answer and not written.truncated:
        outcome = "empty reply"
        detail = "there is reasoning but no answer" if thought.reasoning else f"{written.tokens} tokens without text"
    return Reply(name, thought.answer, outcome, detail, thought.reasoning, len(request.tokens), written.tokens)
