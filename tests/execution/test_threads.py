"""Runs in threads of one process: each hears its own notices, and nothing of the process is left changed."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitkit.execution.events import NOTICES, Event, Notice, StageStarted, StatusMessage, receive_notices
from sitkit.execution.executor import Outcome
from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.store import Store

RECIPE = Recipe(teacher=("speller,slips=5",), student=("counter",), strategy="spelled-first", train_on=("letters",))


def _in_threads(*calls: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert errors == []


def _process() -> tuple[Any, ...]:
    logger = logging.getLogger(NOTICES)
    return logger.level, logger.propagate, list(logger.handlers), Path.cwd(), dict(os.environ), sys.stderr


def test_a_notice_reaches_the_run_of_its_thread_alone() -> None:
    before, both, heard = _process(), threading.Barrier(2, timeout=30), {"a": list[str](), "b": list[str]()}

    def run(name: str) -> None:
        with receive_notices(heard[name].append, lambda text: heard[name].append(f"({text})")):
            both.wait()
            logging.getLogger(NOTICES).warning("from %s", name)
            logging.getLogger(NOTICES).info("busy %s", name)
            both.wait()

    _in_threads(lambda: run("a"), lambda: run("b"))
    assert heard == {"a": ["from a", "(busy a)"], "b": ["from b", "(busy b)"]}
    assert _process() == before


def test_what_a_stages_own_thread_says_is_heard() -> None:
    heard: list[str] = []
    with receive_notices(heard.append, heard.append):
        _in_threads(lambda: logging.getLogger(NOTICES).warning("from within"))
    assert heard == ["from within"]


@pytest.mark.parametrize("names", [("one", "two"), ("one", "one")])
def test_two_runs_in_threads_score_as_one_does(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    from sitkit_example.student import Counter  # type: ignore[import-not-found]

    complete = Counter.complete

    def talking(self: Any, *arguments: Any) -> Any:
        logging.getLogger(NOTICES).info("thread %s", threading.get_ident())
        return complete(self, *arguments)

    monkeypatch.setattr(Counter, "complete", talking)
    found: list[tuple[int, list[Event], Outcome]] = []

    def run(name: str) -> None:
        events: list[Event] = []
        plan = build_plan(RECIPE, example)
        outcome = run_plan(plan, Store(tmp_path / name), example, events.append)
        found.append((threading.get_ident(), events, outcome))

    # lm-eval sets variables of the environment when it is first imported.
    run("alone")
    before = _process()
    _in_threads(*(lambda name=name: run(name) for name in names))
    assert _process() == before
    scores = [
        [record.info["scores"] for record in outcome.stages if record.stage == "evaluate"] for _, _, outcome in found
    ]
    assert scores[0] == scores[1] == scores[2] != []
    assert len(found) == 3
    for thread, events, _ in found:
        assert {event.text for event in events if isinstance(event, StatusMessage)} <= {f"thread {thread}"}


def test_a_listener_that_stops_a_run_in_a_thread_leaves_a_store_to_go_on_from(
    example: Registry, tmp_path: Path
) -> None:
    plan = build_plan(RECIPE, example)

    def stopping(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage.stage == "refine":
            raise KeyboardInterrupt

    def stopped() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_plan(plan, Store(tmp_path), example, stopping)

    _in_threads(stopped)
    events: list[Event] = []
    run_plan(plan, Store(tmp_path), example, events.append)
    assert [event.stage.stage for event in events if isinstance(event, StageStarted)] == ["refine", "evaluate"]
    assert not any(isinstance(event, Notice) for event in events)
