"""What makes going on senseless is one clear line at once; what is in flight is not lost."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import openai
import pytest

from sitkit.errors import TeacherError
from sitkit.types import ANSWERED
from sitkit_openai.failures import judge_error
from tests.sitkit_openai.conftest import GENERATION, ask, prompts, teacher, until_it_ends
from tests.sitkit_openai.endpoint import (
    HTML,
    NO_MODEL,
    PASSING,
    QUOTA,
    Call,
    Endpoint,
    Fault,
    error,
    stall,
    status,
)


def test_what_the_client_refuses_to_send_stops_the_run() -> None:
    found = judge_error(openai.OpenAIError("Headers must be text"), "m")
    assert (found.fatal, found.billed) == ("the client cannot ask: Headers must be text", False)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (error(401, "Incorrect API key provided"), "the key was refused"),
        (error(403, "You are not allowed"), "the key may not do this"),
        (NO_MODEL, "is the model's name right"),
        (status(404, {"detail": "Not Found"}), "base_url"),
        (status(405, HTML), "base_url"),
        (QUOTA, "no money or quota left"),
        (error(402, "Insufficient Balance"), "no money or quota left"),
        (error(400, "Server is pinned to 'other'; requested 'm'."), "is the model's name right"),
        (
            error(400, "Unsupported value: 'temperature'", name="unsupported_value", param="temperature"),
            "annotate.temp",
        ),
        (error(400, "Unsupported parameter", name="unsupported_parameter", param="max_tokens"), "length_field="),
        (error(400, "Unrecognized", name="unknown_parameter", param="lab"), "does not take the request's field lab"),
        (status(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra"}]}), "seed=off"),
    ],
)
def test_going_on_is_senseless(fault: Fault, said: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: fault
    with pytest.raises(TeacherError, match=said) as caught:
        ask(teacher(endpoint, concurrency=4), 100)
    assert len(str(caught.value).splitlines()) == 1
    assert "openai:m at 127.0.0.1" in str(caught.value)
    assert len(endpoint.calls) <= 4


def test_answers_that_came_before_and_those_in_flight_are_handed_on(endpoint: Endpoint) -> None:
    gate = threading.Event()

    def behave(call: Call) -> Fault | None:
        if call is not endpoint.calls[0]:
            return None

        async def late(endpoint: Endpoint, call: Call, writer: Any) -> None:
            while len(endpoint.delivered) < 3:
                await asyncio.sleep(0.01)
            gate.set()
            await QUOTA(endpoint, call, writer)

        return late

    endpoint.behave, endpoint.latency = behave, 0.05
    got, end = until_it_ends(teacher(endpoint, concurrency=4).complete(prompts(50), GENERATION))
    assert isinstance(end, TeacherError)
    assert "quota" in str(end)
    assert gate.is_set()
    assert len(got) >= 3
    assert {f"Question {reply.id[3:]}" for reply in got} == {*endpoint.prompts()[1:]}


def test_an_endpoint_that_nobody_answers_at_stops_after_the_retries() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(TeacherError, match=r"cannot be reached: .*is base_url=http://127.0.0.1:\d+/v1 right\?"):
            ask(teacher(base_url=url, retries=2), 20)


def test_a_host_without_an_address_stops_after_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k-123456")
    with pytest.raises(TeacherError, match="cannot be reached"):
        ask(teacher(base_url="http://no-such-host.invalid/v1", retries=1), 20)


def test_an_endpoint_that_never_answers_well_is_given_up_early(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: PASSING["server error"]
    with pytest.raises(TeacherError, match=r"5 prompts were given up before any was answered, .*server error"):
        ask(teacher(endpoint, retries=1, concurrency=2), 200)
    assert len(endpoint.calls) < 60


def test_few_prompts_that_fail_are_replies_not_an_end(endpoint: Endpoint) -> None:
    # A resumed run may ask nothing but the prompts that this endpoint never answers.
    endpoint.behave = lambda call: PASSING["server error"]
    assert {reply.outcome for reply in ask(teacher(endpoint, retries=1), 12).values()} == {"server error"}


def test_a_missing_key_is_one_line_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "  ")
    for options, name in (({}, "OPENAI_API_KEY"), ({"key_env": "LAB_KEY"}, "LAB_KEY")):
        made = teacher(base_url="https://api.example.invalid/v1", **options)
        for call in (lambda made=made: made.begin(None, budget=None), lambda made=made: ask(made)):
            with pytest.raises(TeacherError, match=f"set the environment variable {name}"):
                call()


def test_the_key_named_is_the_key_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "lab-secret-1")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-secret-1")
    ask(teacher(endpoint, key_env="LAB_KEY"))
    assert endpoint.calls[0].headers["authorization"] == "Bearer lab-secret-1"
    assert "admin-secret" not in str(endpoint.calls[0].headers)


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_closing_early_cancels_what_is_in_flight_and_leaves_no_thread(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: None if call.prompt == "Question 0" else stall
    endpoint.stall = 30
    before = _threads()
    replies = teacher(endpoint).complete(prompts(40), GENERATION)
    assert next(iter(replies)).outcome == ANSWERED
    start = time.monotonic()
    replies.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 2
    assert _threads() == before


def test_an_iterator_never_started_costs_nothing(endpoint: Endpoint) -> None:
    before = _threads()
    teacher(endpoint).complete(prompts(5), GENERATION)
    assert _threads() == before
    assert not endpoint.calls
    assert list(teacher(endpoint).complete([], GENERATION)) == []


def test_a_caller_inside_an_event_loop_is_served_too(endpoint: Endpoint) -> None:
    import asyncio

    async def notebook() -> int:
        return len(ask(teacher(endpoint), 5))

    assert asyncio.run(notebook()) == 5


def test_a_slow_caller_is_not_swamped(endpoint: Endpoint) -> None:
    # What was answered but not taken is lost in a kill, so there must not be much of it.
    replies = iter(teacher(endpoint, concurrency=4).complete(prompts(200), GENERATION))
    next(replies)
    time.sleep(0.5)
    assert len(endpoint.calls) <= 1 + 3 * 4
    assert len(list(replies)) == 199
