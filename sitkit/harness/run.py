"""Run lm-eval tasks on a student: every score of sitkit comes out of `lm_eval.simple_evaluate`."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from sitkit.errors import PluginError
from sitkit.harness.folders import not_found
from sitkit.types import Completion, Generation, Prompt

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from sitkit.harness.lm import Complete

Aloud = Callable[[], AbstractContextManager[Any]]

_ONE_AT_A_TIME = threading.Lock()
"""lm-eval logs, draws and seeds generators for the whole process, so runs in several threads take turns at it."""


def run_tasks(
    tasks: Sequence[str],
    complete: Complete,
    *,
    folders: Sequence[Path],
    metadata: Mapping[str, Any],
    limit: int | None,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    repeats: int = 1,
) -> dict[str, Any]:
    """Return lm-eval's results for the tasks found in ``folders``, with a row per document under "samples".

    ``metadata`` reaches each task's dataset function; ``limit`` takes the first documents, as lm-eval's own does.
    Above 1, ``repeats`` is how often each document is answered: all answers are in the row's "resps", and "repeated"
    says which of them the task judges right, each as if it were the only one.
    Raises `PluginError` if a task is not found (lm-eval skips a broken YAML in silence).
    """
    with _ONE_AT_A_TIME, _quiet() as loud, _without_env_info():

        def complete_aloud(prompts: list[Prompt], generation: Generation) -> Mapping[str, Completion]:
            # Progress and notices of the student belong to the user, whatever lm-eval draws around them.
            with contextlib.redirect_stderr(loud):
                return complete(prompts, generation)

        from lm_eval import simple_evaluate

        from sitkit.harness.lm import StudentLM

        manager = _manager(folders, metadata)
        for task in tasks:
            if task not in manager.all_tasks:
                raise PluginError(not_found(task, folders))
        loaded: dict[str, Any] = manager.load(list(tasks))["tasks"] if repeats > 1 else {}
        for one in loaded.values():
            one.set_config("repeats", repeats)
        results: dict[str, Any] = simple_evaluate(
            model=StudentLM(complete_aloud, seed),
            tasks=list(loaded.values()) if repeats > 1 else list(tasks),
            task_manager=manager,
            limit=limit,
            log_samples=True,
            gen_kwargs={"max_gen_toks": max_new_tokens, "temperature": temperature, "do_sample": temperature > 0},
        )
        for task in tasks if repeats > 1 else ():
            for row in results["samples"][task]:
                judged = [loaded[task].process_results(row["doc"], [text]) for text in row["resps"][0]]
                row["repeated"] = [bool(one.get("accuracy")) for one in judged]
    return results


@contextlib.contextmanager
def task_manager(folders: Sequence[Path], metadata: Mapping[str, Any], *, own: bool = False) -> Iterator[Any]:
    """Yield lm-eval's manager of the tasks in ``folders``, and with ``own`` of its own, which takes it seconds.

    It runs no task meanwhile and is quiet.
    """
    with _ONE_AT_A_TIME, _quiet():
        yield _manager(folders, metadata, own=own)


def _manager(folders: Sequence[Path], metadata: Mapping[str, Any], *, own: bool = False) -> Any:
    from lm_eval.tasks import TaskManager

    paths = [str(folder) for folder in folders]
    return TaskManager(include_path=paths, include_defaults=own, metadata=dict(metadata))


def run_as_it_is(
    task: str,
    model: Callable[[Aloud], LM],
    *,
    folders: Sequence[Path],
    metadata: Mapping[str, Any],
    limit: int | None,
    num_fewshot: int | None,
    chat: bool,
) -> dict[str, Any]:
    """Return lm-eval's results of one task, or group of tasks, with everything as the task and lm-eval have it.

    ``folders`` are where the task lies; none: it is one of lm-eval's own. ``model`` makes the model; within what it is
    given the user hears again what is written to stderr.
    """
    with _ONE_AT_A_TIME, _quiet() as loud, _without_env_info():
        from lm_eval import simple_evaluate

        results: dict[str, Any] = simple_evaluate(
            model=model(lambda: contextlib.redirect_stderr(loud)),
            tasks=[task],
            task_manager=_manager(folders, metadata, own=not folders),
            limit=limit,
            num_fewshot=num_fewshot,
            apply_chat_template=chat,
            log_samples=True,
        )
    return results


class _Muted:
    """A stream without what this thread writes to it; other threads are heard as before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        """Pass the text on, unless it comes from the muted thread."""
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _quiet() -> Iterator[TextIO]:
    # lm-eval draws its own progress bars and logs at INFO; progress is told through the student's completions.
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        loud = sys.stderr
        with contextlib.redirect_stderr(cast(TextIO, _Muted(loud))):
            yield loud
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _without_env_info() -> Iterator[None]:
    # simple_evaluate describes the machine and the current folder's git commit by running a dozen programs, over a
    # second a call, and has no switch for it (0.4.13); sitkit's results.json holds the versions instead.
    from lm_eval import evaluator

    described = {"add_env_info": lambda storage: None, "get_git_commit_hash": lambda: None}
    originals = {name: getattr(evaluator, name) for name in described}
    for name, nothing in described.items():
        setattr(evaluator, name, nothing)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(evaluator, name, original)
