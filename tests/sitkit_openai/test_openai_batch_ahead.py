"""Several benchmarks are handed in together, so that a run waits for a provider's batches but once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import TeacherError
from sitkit.execution.here_executor import Outcome, run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store
from sitkit_openai.batch_calls import BatchCalls
from tests.sitkit_openai.batch_endpoint import Batches, well
from tests.sitkit_openai.endpoint import Endpoint


class Killed(KeyboardInterrupt):
    """The process ends here."""


@dataclasses.dataclass
class Watched(Batches):
    """Notes how many batches there were when one was looked at first."""

    when_looked: list[int] = dataclasses.field(default_factory=list)

    def _look(self, name: str) -> tuple[int, Any] | None:
        self.when_looked.append(len(self.created))
        return super()._look(name)


@pytest.fixture
def batches(endpoint: Endpoint) -> Watched:
    made = Watched()
    endpoint.routes = made
    return made


def walk(
    endpoint: Endpoint, folder: Path, tasks: Sequence[str] = ("tiny_chain", "tiny_cups"), more: str = "", **recipe: Any
) -> Outcome:
    """Run the teacher's stages of a recipe of six questions a task."""
    registry = load_plugins()
    teacher = f"openai:m,base_url={endpoint.url},batch=true,poll=0.01,backoff=0.001,retries=1{more}"
    given = {"limit": 6, "eval_teacher": False, **recipe}
    plan = build_plan(Recipe(teacher=(teacher,), train_on=tuple(tasks), **given), registry)
    plan = dataclasses.replace(plan, nodes=plan.annotated)
    try:
        return run_plan(plan, Store(folder), registry, lambda event: None)
    finally:
        plan.close()


def test_all_benchmarks_are_sent_before_the_first_is_waited_for(
    endpoint: Endpoint, batches: Watched, tmp_path: Path
) -> None:
    outcome = walk(endpoint, tmp_path)
    assert [len(one) for one in batches.created] == [6, 6]
    assert batches.when_looked[0] == 2
    assert [record.info["answered"] for record in outcome.stages] == [6, 6]
    assert sum("is under way" in text for text in outcome.notices) == 2


def test_a_kill_while_waiting_pays_for_nothing_twice(
    endpoint: Endpoint, batches: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(BatchCalls, "look", dies)
        with pytest.raises(Killed):
            walk(endpoint, tmp_path)
    assert len(batches.created) == 2
    outcome = walk(endpoint, tmp_path)
    assert [record.info["answered"] for record in outcome.stages] == [6, 6]
    assert len(batches.created) == 2


def test_a_finished_run_sends_nothing(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    walk(endpoint, tmp_path)
    calls = len(endpoint.calls)
    assert all(record.reused for record in walk(endpoint, tmp_path).stages)
    assert len(endpoint.calls) == calls
    assert len(batches.created) == 2


def test_shares_of_the_same_questions_are_sent_once(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    walk(endpoint, tmp_path, tasks=["tiny_chain"], limit=8, fraction=(0.5, 1.0))
    assert sorted(len(one) for one in batches.created) == [4, 4]
    assert len(set(batches.prompts())) == 8


def test_what_is_handed_in_counts_towards_the_budget(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    # 512 tokens out at $1 each a million: eight of the twelve fit at their worst. Replies are shorter, so the rest fits
    # once they have come.
    outcome = walk(endpoint, tmp_path, more=",price_in=0,price_out=1", max_cost=8.5 * 512 / 1e6)
    assert [len(one) for one in batches.created] == [6, 2, 4]
    assert [record.info["answered"] for record in outcome.stages] == [6, 6]


def test_a_queue_too_short_for_all_is_waited_for(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    batches.room = 8
    batches.looks = 3
    outcome = walk(endpoint, tmp_path)
    assert [record.info["answered"] for record in outcome.stages] == [6, 6]
    assert [len(one) for one in batches.created] == [6, 6, 6]


def test_a_queue_filled_by_others_is_waited_for(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    other = {"id": "batch_other", "status": "in_progress", "created_at": 2e9, "lines": [{}] * 6, "looks": 10**9}
    listed = list[int]()

    class Busy(Watched):
        def _list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
            listed.append(len(self.created))
            if len(listed) == 5:
                other["status"] = "completed"
            return super()._list(query)

    endpoint.routes = busy = Busy(room=8)
    busy.batches["batch_other"] = other
    outcome = walk(endpoint, tmp_path, tasks=["tiny_chain"])
    assert [record.info["answered"] for record in outcome.stages] == [6]
    assert [len(one) for one in busy.created] == [6, 6, 6]
    assert len(listed) >= 5


def test_a_batch_that_never_fits_fails_and_says_why(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    batches.room = 4
    with pytest.raises(TeacherError, match="batch failed"):
        walk(endpoint, tmp_path)
    assert [len(one) for one in batches.created] == [6, 6, 6]


def test_replies_that_failed_are_sent_together_again(endpoint: Endpoint, batches: Watched, tmp_path: Path) -> None:
    batches.ends = ["expired", "expired"]
    batches.result = lambda body: None
    options = {"settings": {"annotate": {"max_failures": 1.0}}}
    first = walk(endpoint, tmp_path, **options)
    assert [record.info["failed"] for record in first.stages] == [6, 6]
    batches.result = well
    batches.when_looked.clear()
    second = walk(endpoint, tmp_path, **options)
    assert [record.info["answered"] for record in second.stages] == [6, 6]
    assert batches.when_looked[0] == 4


def test_an_endpoint_that_is_down_leaves_what_is_whole_as_it_is(
    endpoint: Endpoint, batches: Watched, tmp_path: Path
) -> None:
    batches.ends = ["expired", "expired"]
    batches.result = lambda body: None
    options = {"settings": {"annotate": {"max_failures": 1.0}}}
    walk(endpoint, tmp_path, **options)
    batches.fail = {"POST /files": 10**9}
    outcome = walk(endpoint, tmp_path, **options)
    assert [record.reused for record in outcome.stages] == [True, True]
    assert any("stays as it was" in text for text in outcome.notices)
