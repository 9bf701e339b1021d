"""How a reply is judged: each way of not being an answer has its own name, and what can pass is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from sitkit.types import ANSWERED, TRUNCATED, Generation, Prompt, Question
from tests.sitkit_openai.conftest import GENERATION, ask, only, prompts, teacher
from tests.sitkit_openai.endpoint import (
    PASSING,
    TOO_LONG,
    Endpoint,
    completion,
    drip,
    error,
    reply,
    status,
    worked,
)


def test_a_good_reply_is_an_answer_with_its_tokens(endpoint: Endpoint) -> None:
    found = only(teacher(endpoint))
    assert (found.outcome, found.prompt_tokens, found.completion_tokens) == (ANSWERED, 10, 5)
    assert found.completion == worked(endpoint.calls[0].body)


def test_the_request_is_a_chat_with_the_prompt_as_it_is(endpoint: Endpoint) -> None:
    made = teacher(endpoint, system="Be brief, please.", top_p=0.9, extra_body='{"top_k":5,"a":{"b":[1,2]}}')
    only(made)
    body = endpoint.calls[0].body
    seed = body.pop("seed")
    assert isinstance(seed, int)
    assert 0 <= seed < 2**31
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief, please."}, {"role": "user", "content": "Question 0"}],
        "temperature": 0.7,
        "max_tokens": 64,
        "top_p": 0.9,
        "top_k": 5,
        "a": {"b": [1, 2]},
    }


def test_questions_are_asked_with_the_benchmarks_prompt_and_a_seed_of_their_own(endpoint: Endpoint) -> None:
    questions = [Question(f"q{n}", "sums", "number", "Answer.", f"{n} + 1?", None, str(n + 1)) for n in range(3)]
    made = teacher(endpoint)
    first = {one.id: one.completion for one in made.answer(questions, "cot", GENERATION)}
    seeds = {call.prompt: call.body["seed"] for call in endpoint.calls}
    assert set(seeds) == {question.prompt("cot") for question in questions}
    assert len(set(seeds.values())) == 3
    again = {one.id: one.completion for one in made.answer(questions[::-1], "cot", GENERATION)}
    assert again == first


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({}, {"seed", "max_tokens"}, {"stop", "top_p", "reasoning_effort", "max_completion_tokens"}),
        ({"seed": "off", "stop": "on"}, {"stop"}, {"seed"}),
        ({"length_field": "max_completion_tokens", "reasoning_effort": "low"},
         {"max_completion_tokens", "reasoning_effort"}, {"max_tokens"}),
    ],
)  # fmt: skip
def test_fields_that_not_every_endpoint_takes_can_be_chosen(
    options: dict[str, Any], present: set[str], absent: set[str], endpoint: Endpoint
) -> None:
    only(teacher(endpoint, **options))
    assert present <= set(endpoint.calls[0].body)
    assert not absent & set(endpoint.calls[0].body)


@pytest.mark.parametrize("fault", PASSING)
def test_what_can_pass_is_tried_again(fault: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: PASSING[fault] if call.attempt <= 2 else None
    found = only(teacher(endpoint, timeout=0.3))
    assert found.outcome == ANSWERED
    assert len(endpoint.calls) == 3


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("rate limit", "rate limit"),
        ("server error", "server error"),
        ("html", "server error"),
        ("reset", "connection lost"),
        ("cut short", "connection lost"),
        ("half json", "malformed reply"),
        ("no json", "malformed reply"),
        ("no choices", "no choices"),
        ("null content", "empty reply"),
        ("stall", "time-out"),
    ],
)
def test_what_does_not_pass_fails_under_its_own_name(fault: str, outcome: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: PASSING[fault] if call.prompt == "Question 0" else None
    found = ask(teacher(endpoint, retries=2, timeout=0.3, concurrency=1), prompts(2))
    bad = found["id-0"]
    assert (bad.outcome, bad.completion, bad.failed) == (outcome, "", True)
    assert "attempts" in bad.detail
    assert "<" not in bad.detail
    assert found["id-1"].outcome == ANSWERED
    assert sum(call.prompt == "Question 0" for call in endpoint.calls) >= 3


def test_tokens_of_failed_attempts_count(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: PASSING["null content"] if call.attempt <= 2 else None
    found = only(teacher(endpoint))
    assert (found.prompt_tokens, found.completion_tokens) == (30, 15)


def test_a_slow_drip_is_an_answer_if_it_ends_in_time_and_a_time_out_if_not(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: drip
    assert only(teacher(endpoint, timeout=5)).outcome == ANSWERED
    endpoint.drip = 0.1
    assert only(teacher(endpoint, timeout=0.4, retries=0)).outcome == "time-out"


@pytest.mark.parametrize(
    ("body", "outcome", "text", "reasoning"),
    [
        (completion("half an ans", finish="length"), TRUNCATED, "half an ans", ""),
        (completion(None, finish="length", reasoning="so long"), TRUNCATED, "", "so long"),
        (completion("<think>on and on", finish="length"), TRUNCATED, "", "on and on"),
        (completion("<think>so</think>\n\nB) steam"), ANSWERED, "B) steam", "so"),
        (completion("so\n</think>\nB) steam"), ANSWERED, "B) steam", "so"),
        (completion("B) steam", reasoning_content="so"), ANSWERED, "B) steam", "so"),
        (completion("B) steam", reasoning="so"), ANSWERED, "B) steam", "so"),
        (completion("I cannot", finish="content_filter"), "content filter", "", ""),
        (completion(None, refusal="I will not."), "refusal", "", ""),
        (
            {"choices": [{"message": {"content": [{"type": "text", "text": "B)"}, {"type": "text", "text": " x"}]}}]},
            ANSWERED,
            "B) x",
            "",
        ),
    ],
)
def test_what_came_back_is_told_apart(body: Any, outcome: str, text: str, reasoning: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: reply(body)
    found = only(teacher(endpoint, retries=1))
    assert (found.outcome, found.completion, found.reasoning) == (outcome, text, reasoning)
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        completion(""),
        completion("  \n"),
        completion("<think>so and so on"),
        completion("<think>so</think>  "),
        completion(None, reasoning="so"),
        completion(None, tool_calls=[{"id": "1"}]),
        completion(7),  # type: ignore[arg-type]
        {"choices": [{"message": None}]},
        {"choices": [None]},
        {"choices": None},
        [],
        "null",
        b"\xff\xfe{}",
        b'{"choices": [{"message": {"content": "\xff"}}]}',
    ],
)
def test_nothing_is_never_an_answer(body: Any, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: reply(body)
    found = only(teacher(endpoint, retries=1))
    assert found.failed
    assert found.outcome in ("empty reply", "malformed reply", "no choices")
    assert found.detail
    assert len(endpoint.calls) == 2


def test_an_error_inside_a_reply_of_200_is_what_it_says(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: reply({"error": {"message": "upstream down", "code": 502}})
    assert only(teacher(endpoint, retries=0)).outcome == "server error"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (TOO_LONG, "context too long"),
        (error(400, "Input is too long for requested model."), "context too long"),
        (status(422, {"detail": [{"type": "value_error", "loc": ["body", "messages"], "msg": "odd"}]}), "bad request"),
        (error(400, "filtered", name="content_filter"), "content filter"),
        (error(400, "no idea"), "bad request"),
        (status(400, "what?"), "bad request"),
        (status(400, {"error": "Input is too long for the model"}), "context too long"),
    ],
)
def test_a_prompts_own_fault_is_not_tried_again_and_stops_nobody_else(
    fault: Any, outcome: str, endpoint: Endpoint
) -> None:
    endpoint.behave = lambda call: fault if call.prompt == "Question 1" else None
    found = ask(teacher(endpoint), 3)
    assert [found[f"id-{n}"].outcome for n in range(3)] == [ANSWERED, outcome, ANSWERED]
    assert len(endpoint.calls) == 3
    assert found["id-1"].detail.startswith("HTTP 4")


def test_a_teachers_own_temperature_and_top_p_stand_over_the_settings(endpoint: Endpoint) -> None:
    asked = [Prompt("p", "Question 0")]
    list(teacher(endpoint, temperature=0.1).complete(asked, Generation(64, 0.7, top_p=0.8)))
    list(teacher(endpoint, top_p=1).complete(asked, Generation(64, 0.7, top_p=0.8)))
    sent = [(call.body["temperature"], call.body["top_p"]) for call in endpoint.calls]
    assert sent == [(0.1, 0.8), (0.7, 1.0)]
