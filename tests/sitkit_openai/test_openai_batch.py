"""Batches: half the price, none paid twice whenever the process dies, and every request has an outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import TeacherError
from sitkit.types import ANSWERED, TRUNCATED, Prompt, Reply
from sitkit_openai.batch_calls import BatchCalls
from sitkit_openai.batch_files import STATE, BatchFiles
from tests.sitkit_openai.batch_endpoint import Batches, well
from tests.sitkit_openai.conftest import GENERATION, ask, prompts, teacher, until_it_ends
from tests.sitkit_openai.endpoint import Endpoint, completion


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def batches(endpoint: Endpoint) -> Batches:
    made = Batches()
    endpoint.routes = made
    return made


def asked(endpoint: Endpoint, folder: Path, wanted: Sequence[Prompt], **options: Any) -> dict[str, Reply]:
    """What one run gets."""
    budget = options.pop("budget", None)
    made = teacher(endpoint, batch="true", poll=0.01, **options)
    made.begin(folder, budget=budget)
    return ask(made, wanted)


def outcomes(found: dict[str, Reply]) -> dict[str, str]:
    return {name: reply.outcome for name, reply in found.items()}


def test_a_batch_gives_what_single_calls_give(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    found = asked(endpoint, tmp_path / "f", prompts(40))
    assert found == ask(teacher(endpoint), 40)
    assert batches.prompts() == [one.text for one in prompts(40)]
    assert json.loads((tmp_path / "f" / STATE).read_text()) == {"batches": []}
    assert [path.name for path in (tmp_path / "f").iterdir()] == [STATE]


def test_every_way_a_request_can_end_has_its_outcome(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    def result(body: dict[str, Any]) -> dict[str, Any] | None:
        number = int(body["messages"][-1]["content"].split()[-1])
        return [
            well(body),
            {"status_code": 200, "body": completion("half", finish="length")},
            {"status_code": 200, "body": completion(None)},
            {"status_code": 400, "body": {"error": {"message": "long", "code": "context_length_exceeded"}}},
            {"status_code": 500, "body": {"error": {"message": "oops"}}},
            {"status_code": 200, "body": "no object"},
            None,
        ][number]

    batches.result = result
    found = outcomes(asked(endpoint, tmp_path, prompts(7)))
    assert list(dict(sorted(found.items())).values()) == [
        ANSWERED, TRUNCATED, "empty reply", "context too long", "server error", "malformed reply", "batch failed",
    ]  # fmt: skip
    batches.result = well
    again = asked(endpoint, tmp_path, [one for one in prompts(7) if found[one.id] not in (ANSWERED, TRUNCATED)])
    assert set(outcomes(again).values()) == {ANSWERED}
    assert len(batches.created) == 2


@pytest.mark.parametrize(("end", "outcome"), [("expired", "batch expired"), ("cancelled", "batch cancelled")])
def test_of_a_batch_that_ended_early_what_is_done_is_kept(
    end: str, outcome: str, endpoint: Endpoint, batches: Batches, tmp_path: Path
) -> None:
    batches.ends = [end]
    batches.result = lambda body: well(body) if "1" in body["messages"][-1]["content"] else None
    found = outcomes(asked(endpoint, tmp_path, prompts(3)))
    assert found == {"id-0": outcome, "id-1": ANSWERED, "id-2": outcome}
    batches.result = well
    assert set(outcomes(asked(endpoint, tmp_path, [prompts(3)[0], prompts(3)[2]])).values()) == {ANSWERED}
    assert batches.created[1] == ["Question 0", "Question 2"]


def test_a_batch_that_is_refused_says_why(
    endpoint: Endpoint, batches: Batches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batches.ends = ["failed", "failed"]
    found = asked(endpoint, tmp_path, prompts(2))
    assert {(one.outcome, one.detail) for one in found.values()} == {
        ("batch failed", "failed; Enqueued token limit reached")
    }
    assert "Enqueued token limit reached" in caplog.text


def _until(endpoint: Endpoint, folder: Path, wanted: Sequence[Prompt]) -> Iterator[Reply]:
    made = teacher(endpoint, batch="true", poll=0.01)
    made.begin(folder, budget=None)
    yield from made.complete(wanted, GENERATION)


@pytest.mark.parametrize("step", ["upload", "create", "created", "look", "download", "note"])
def test_no_kill_pays_twice(
    step: str, endpoint: Endpoint, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "created":
            # After the provider has made the batch, before its id is noted.
            create = BatchCalls.create
            patch.setattr(BatchCalls, "create", lambda *args: create(*args) and dies())
        elif step == "note":
            patch.setattr(BatchFiles, "done", dies)
        else:
            patch.setattr(BatchCalls, step, dies)
        got, end = until_it_ends(_until(endpoint, tmp_path, prompts(20)))
        assert isinstance(end, Killed)
    missing = [one for one in prompts(20) if one.id not in {reply.id for reply in got}]
    if missing:
        assert set(outcomes(asked(endpoint, tmp_path, missing)).values()) == {ANSWERED}
    assert sorted(batches.prompts()) == sorted(one.text for one in prompts(20)), "each prompt is in one batch"


def test_taken_up_again_half_way_through_its_results(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    replies = _until(endpoint, tmp_path, prompts(10))
    first = [next(replies).id for _ in range(4)]
    replies.close()  # type: ignore[attr-defined]
    missing = [one for one in prompts(10) if one.id not in first]
    assert set(asked(endpoint, tmp_path, missing)) == {one.id for one in missing}
    assert len(batches.created) == 1


def test_a_creation_whose_reply_is_lost_is_found_not_repeated(
    endpoint: Endpoint, batches: Batches, tmp_path: Path
) -> None:
    asked(endpoint, tmp_path / "other", prompts(3, start=50))
    asked(endpoint, tmp_path / "another", prompts(3, start=60))
    batches.lost = 1
    assert len(asked(endpoint, tmp_path / "mine", prompts(3))) == 3
    assert len(batches.created) == 3


def test_a_batch_that_the_list_does_not_show_yet_is_looked_for_again(
    endpoint: Endpoint, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = BatchCalls.create

    def dies(*args: Any) -> str:
        create(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(BatchCalls, "create", dies)
        with pytest.raises(Killed):
            list(_until(endpoint, tmp_path, prompts(3)))
    batches.unlisted = 1
    assert len(asked(endpoint, tmp_path, prompts(3))) == 3
    assert len(batches.created) == 1


def test_more_questions_make_a_further_batch_and_fewer_lose_nothing(
    endpoint: Endpoint, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A batch of ten is under way when a smaller --limit asks for three, and a larger one for twelve.
    def dies(*args: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(BatchCalls, "look", dies)
        assert isinstance(until_it_ends(_until(endpoint, tmp_path, prompts(10)))[1], Killed)
    assert set(asked(endpoint, tmp_path, prompts(3))) == {"id-0", "id-1", "id-2"}
    rest = [one for one in prompts(12) if one.id not in {"id-0", "id-1", "id-2"}]
    assert len(asked(endpoint, tmp_path, rest)) == 9
    assert [len(one) for one in batches.created] == [10, 2]


def test_trouble_on_the_way_is_sat_out(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    batches.fail = {"POST /files": 2, "POST /batches": 2, "GET /batches": 2, "GET /batches/": 2, "GET /files/": 2}
    assert len(asked(endpoint, tmp_path, prompts(3))) == 3
    assert len(batches.created) == 1


def test_trouble_without_end_is_one_line_and_the_batch_goes_on(
    endpoint: Endpoint, batches: Batches, tmp_path: Path
) -> None:
    batches.fail = {"GET /batches/": 10**9}
    with pytest.raises(TeacherError, match=r"cannot look at batch batch_0.*server error"):
        asked(endpoint, tmp_path, prompts(3), retries=1)
    batches.fail = {}
    assert len(asked(endpoint, tmp_path, prompts(3))) == 3
    assert len(batches.created) == 1


def test_an_endpoint_without_batches_says_so(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"cannot upload a batch.*HTTP 404"):
        asked(endpoint, tmp_path, prompts(3))


def test_damaged_notes_are_not_paid_over(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    (tmp_path / STATE).write_text('{"batches": [{"tok')
    with pytest.raises(TeacherError, match=r"batches.json is damaged"):
        asked(endpoint, tmp_path, prompts(1))
    assert not batches.created


def test_large_runs_are_split(
    endpoint: Endpoint, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitkit_openai.batch.MOST_REQUESTS", 4)
    assert len(asked(endpoint, tmp_path / "a", prompts(10))) == 10
    monkeypatch.setattr("sitkit_openai.batch.MOST_BYTES", 500)
    assert len(asked(endpoint, tmp_path / "b", prompts(5, start=20))) == 5
    assert [len(one) for one in batches.created] == [4, 4, 2, 2, 2, 1]


def test_a_budget_limits_what_is_sent(endpoint: Endpoint, batches: Batches, tmp_path: Path) -> None:
    # 64 tokens out at $1 each a million: five fit, a sixth does not.
    made = teacher(endpoint, batch="true", poll=0.01, price_in=0, price_out=1)
    made.begin(tmp_path, budget=5.5 * 64 / 1e6)
    got, end = until_it_ends(made.complete(prompts(10), GENERATION))
    assert isinstance(end, TeacherError)
    assert "past the limit" in str(end)
    assert len(got) == 5
    assert batches.prompts() == [one.text for one in prompts(5)]
