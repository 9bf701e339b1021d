"""The teacher ``lm-eval``: whatever lm-eval can run, asked through its LM interface."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sitkit
from sitkit.errors import ModelError
from sitkit.plugin_support import file_digest, folder_digests, own_sampling
from sitkit.types import Generation, Json, Prompt, Prompting, Question, Reply
from sitkit_lmeval.options import Options

_PLACES = ("cache_dir", "download_dir", "offload_dir", "offload_folder")
"""Arguments that say where files are put, and not what is answered."""


class LmEvalTeacher:
    """A model backend of lm-eval, loaded when it is first asked; see `sitkit.types.Teacher` and `PromptCompleter`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._model: Any = None

    def fingerprint(self) -> Json:
        """Return backend, model arguments (files by what they hold) and lm-eval's version."""
        own = {"temperature": self.options.temperature, "top_p": self.options.top_p}
        return {
            "implementation": f"sitkit_lmeval {sitkit.__version__}",
            "lm_eval": version("lm_eval"),
            "backend": self.options.backend,
            "arguments": {key: identity(value) for key, value in self.options.arguments.items() if key not in _PLACES},
            "chat_template": self.options.chat_template,
            **{key: value for key, value in own.items() if value is not None},
        }

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str] | Reply]:
        """Yield a reply a question as chunks finish. Raises `TeacherError` if the backend cannot be made or fails."""
        ids = {f"{question.benchmark}/{question.id}": question.id for question in questions}
        prompts = [Prompt(f"{question.benchmark}/{question.id}", question.prompt(prompting)) for question in questions]
        for reply in self._ask(prompts, generation):
            yield replace(reply, id=ids[reply.id])

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[tuple[str, str] | Reply]:
        """Yield a reply a prompt, as `answer` does."""
        yield from self._ask(prompts, generation)

    def close(self) -> None:
        """Let go of the backend, and give its memory back."""
        if self._model is None:
            return
        self._model = None
        gc.collect()
        if "torch" in sys.modules:
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _ask(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[Reply]:
        if not prompts:
            return
        from sitkit_lmeval.backend import make_backend
        from sitkit_lmeval.generation import ask

        if self._model is None:
            self._model = make_backend(self.options)
        generation = own_sampling(generation, self.options.temperature, self.options.top_p)
        yield from ask(self._model, self.options, prompts, generation)


def identity(value: str) -> Json:
    """Return a digest of every file where the value is a file or folder that lies here, else the value itself.

    Hidden files are left out. Raises `ModelError` for files that cannot be read.
    """
    path = Path(value).expanduser()
    try:
        if path.is_file():
            return {"file": file_digest(path)}
        return {"files": folder_digests(path)} if path.is_dir() else value
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}") from error
