"""A student as lm-eval sees it. Imports lm_eval, so it is itself imported only where an evaluation runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from lm_eval.api.model import LM

from sitkit.errors import PluginError
from sitkit.types import Completion, Generation, Prompt

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


class StudentLM(LM):  # type: ignore[misc]
    """lm-eval's language-model interface on top of a function that completes prompts.

    Requests are sent on all at once, so that batches can be sorted by length over every task of the call; each is
    identified by task and question, which keys its randomness and lets an interrupted evaluation go on. A request that
    a task repeats is one for each time.
    """

    def __init__(self, complete: Complete, seed: int) -> None:
        super().__init__()
        self._complete = complete
        self._seed = seed

    def generate_until(self, requests: Sequence[Any]) -> list[Answer]:
        """Complete every request. All must agree on temperature, length and stop strings."""
        settings = {_generation(request.args[1], self._seed) for request in requests}
        ids = _numbered(map(_request_id, requests))
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
        raise PluginError("this lm-eval task scores log-likelihoods, but a sitkit student only generates")

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


def _request_id(request: Any) -> str:
    return f"{request.task_name}|{request.doc.get('id', request.doc_id)}"


def _generation(arguments: Mapping[str, Any], seed: int) -> Generation:
    until = arguments.get("until") or ()
    return Generation(
        max_new_tokens=int(arguments["max_gen_toks"]),
        temperature=float(arguments.get("temperature") or 0.0) if arguments.get("do_sample") else 0.0,
        seed=seed,
        stop=(until,) if isinstance(until, str) else tuple(until),
    )
