"""A student as lm-eval sees it. Imports lm_eval, so it is itself imported only where an evaluation runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from lm_eval.api.model import LM, hash_args

from sitkit.errors import PluginError
from sitkit.store import Journal
from sitkit.types import Completion, Generation, Progress, Prompt

Complete = Callable[[list[Prompt], Generation], Mapping[str, Completion]]
"""Completes prompts and returns prompt id -> completion."""


class Answer(str):
    """A completion as lm-eval passes it on, which knows whether it was cut at the length limit."""

    __slots__ = ("truncated",)
    truncated: bool

    @classmethod
    def of(cls, completion: Completion) -> Answer:
        """Return a completion's text as such an answer."""
        answer = cls(completion.text)
        answer.truncated = completion.truncated
        return answer


def by_id(request: Any) -> str:
    """Return what names a request of a benchmark's task: the question's id, which stays where fewer are asked."""
    return f"{request.task_name}|{request.doc.get('id', request.doc_id)}"


def by_place(request: Any) -> str:
    """Return what names a request of any task, whose documents need no ids."""
    return f"{request.task_name}|{request.doc_id}|{request.idx}"


class StudentLM(LM):  # type: ignore[misc]
    """lm-eval's language-model interface on top of a function that completes prompts.

    Requests are sent on all at once, so that batches can be sorted by length over every task of the call; each is
    identified by task and question, which keys its randomness and lets an interrupted evaluation go on. A request that
    a task repeats is one for each time.
    """

    def __init__(self, complete: Complete, seed: int, name: Callable[[Any], str] = by_id) -> None:
        super().__init__()
        self._complete = complete
        self._seed = seed
        self._name = name

    def generate_until(self, requests: Sequence[Any]) -> list[Answer]:
        """Complete every request. All must agree on temperature, length and stop strings."""
        settings = {_generation(request.args[1], self._seed) for request in requests}
        ids = _numbered(map(self._name, requests))
        completions: dict[str, Completion] = {}
        for generation in sorted(settings, key=str):
            prompts = [
                Prompt(name, request.args[0])
                for name, request in zip(ids, requests, strict=True)
                if _generation(request.args[1], self._seed) == generation
            ]
            completions |= self._complete(prompts, generation)
        return [Answer.of(completions[name]) for name in ids]

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Students generate only. Raises `PluginError`."""
        raise PluginError("this lm-eval task scores log-likelihoods, but this student only generates")

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> NoReturn:
        """Students generate only. Raises `PluginError`."""
        self.loglikelihood(requests)


def _numbered(ids: Iterable[str]) -> list[str]:
    """Tell the times apart that an id is there; the first is the id itself."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in ids:
        numbered.append(f"{seen[name]}#{name}" if seen[name] else name)
        seen[name] += 1
    return numbered


class JournaledLM(LM):  # type: ignore[misc]
    """Another LM, whose answers are in a journal as they come, so that a killed evaluation goes on where it was.

    What is drawn is not kept: an answer that is asked for twice would be the same one twice.
    """

    def __init__(self, model: LM, journal: Journal, progress: Progress) -> None:
        super().__init__()
        self._model, self._journal, self._progress = model, journal, progress
        self._total = 0
        # The model tells each answer to what lm-eval takes for a cache.
        model.set_cache_hook(self)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return for each (context, continuation) its log-likelihood, and whether greedy decoding would give it."""
        return [(value, greedy) for value, greedy in self._answers("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Return the log-likelihood of each text."""
        return self._answers("loglikelihood_rolling", requests)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Complete every prompt."""
        if any(request.args[1].get("do_sample") for request in requests):
            found: list[str] = self._model.generate_until(requests)
            return found
        return self._answers("generate_until", requests)

    def apply_chat_template(self, *given: Any, **named: Any) -> str:
        """Return messages as one text, by the model's chat template."""
        return str(self._model.apply_chat_template(*given, **named))

    def chat_template(self, *given: Any, **named: Any) -> Any:
        """Return the template."""
        return self._model.chat_template(*given, **named)

    @property
    def tokenizer_name(self) -> str:
        """The name under which lm-eval keeps rendered chats."""
        return str(self._model.tokenizer_name)

    def add_partial(self, kind: str, arguments: Any, answer: Any) -> None:
        """Keep an answer; the model calls it."""
        key = hash_args(kind, arguments)
        if key not in self._journal.rows:
            self._journal.append(key, json.dumps(answer))
            self._progress(min(len(self._journal.rows), self._total), self._total)

    def _answers(self, kind: str, requests: Sequence[Any]) -> list[Any]:
        keys, rows = [hash_args(kind, request.args) for request in requests], self._journal.rows
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in rows}
        self._total = len(rows) + len(missing)
        if missing:
            given = getattr(self._model, kind)(list(missing.values()))
            for request, answer in zip(missing.values(), given, strict=True):
                self.add_partial(kind, request.args, answer)
        return [json.loads(rows[key]) for key in keys]


def _generation(arguments: Mapping[str, Any], seed: int) -> Generation:
    until = arguments.get("until") or ()
    return Generation(
        # 256 is what lm-eval's own models take where a task says nothing.
        max_new_tokens=int(arguments.get("max_gen_toks") or arguments.get("max_new_tokens") or 256),
        temperature=float(arguments.get("temperature") or 0.0) if arguments.get("do_sample") else 0.0,
        seed=seed,
        stop=(until,) if isinstance(until, str) else tuple(until),
    )
