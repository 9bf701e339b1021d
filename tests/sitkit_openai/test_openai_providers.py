"""Providers with words of their own behind the same protocol, as the endpoint of our own speaks them.

The bodies follow what users of the providers' endpoints reported; none of them was asked from here.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import pytest

from sitkit.errors import SpecError, TeacherError
from sitkit.spec import parse_spec
from sitkit.types import ANSWERED, TRUNCATED, Context
from sitkit_openai import openai_teacher
from sitkit_openai.options import PROVIDERS, parse_options
from sitkit_openai.teacher import OpenAITeacher
from tests.sitkit_openai.conftest import ask, only, teacher
from tests.sitkit_openai.endpoint import Call, Endpoint, Fault, completion, reply, status

KEY = "sk-ant-of-the-provider"


def google(code: int, message: str, name: str = "INVALID_ARGUMENT", details: Sequence[object] = ()) -> Fault:
    """An error in Google's words: a list around it, numbers for codes, no field named."""
    return status(code, [{"error": {"code": code, "message": message, "status": name, "details": [*details]}}])


def anthropic(code: int, message: str, kind: str = "invalid_request_error") -> Fault:
    """An error in Anthropic's words."""
    return status(code, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setenv(PROVIDERS[name]["key_env"], KEY)
    return name


def test_a_provider_names_its_address_and_its_key(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example.org/v1")
    found = parse_options(parse_spec(f"openai:m,provider={provider}"))
    assert (found.base_url, found.key_env) == (PROVIDERS[provider]["base_url"], PROVIDERS[provider]["key_env"])
    assert not found.url_of_environment
    by_hand = f"openai:m,base_url={found.base_url},key_env={found.key_env},seed={'on' if found.seed else 'off'}"
    assert parse_options(parse_spec(by_hand)) == found


def test_a_providers_endpoint_gets_its_own_key_and_no_other(
    provider: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    assert only(teacher(endpoint, provider=provider, system="Be brief.")).outcome == ANSWERED
    (call,) = endpoint.calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert "sk-of-openai" not in str(call.headers)
    assert ("seed" in call.body) == PROVIDERS[provider].get("seed", True)
    assert [message["role"] for message in call.body["messages"]] == ["system", "user"]
    assert call.body["max_tokens"] == 64


def test_a_missing_key_is_asked_for_by_the_providers_name(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROVIDERS[provider]["key_env"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    with pytest.raises(TeacherError, match=f"set the environment variable {PROVIDERS[provider]['key_env']}$"):
        only(teacher(provider=provider))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:m,provider=anthropc", "anthropic"),
        ("openai:m,provider=anthropic,seed=on", "provider=anthropic takes no seed="),
        ("openai:m,provider=anthropic,reasoning_effort=low", "provider=anthropic takes no reasoning_effort="),
        ("openai:m,provider=anthropic,batch=true", "takes no batch="),
        ("openai:m,provider=google,batch=true", "takes no batch="),
    ],
)
def test_what_a_provider_does_not_take_is_refused(spec: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        openai_teacher(parse_spec(spec), Context())


@pytest.mark.parametrize(
    "spec",
    ["claude-haiku-4-5,provider=anthropic", "gemini-2.5-flash,provider=google", "grok-4,provider=xai",
     "mistral-small-latest,provider=mistral", "llama-3.1-8b-instant,provider=groq", "deepseek-chat,provider=deepseek",
     "openai/gpt-4o-mini,provider=openrouter"],
)  # fmt: skip
def test_a_providers_prices_are_known(spec: str) -> None:
    made = openai_teacher(parse_spec(f"openai:{spec}"), Context())
    assert isinstance(made, OpenAITeacher)
    assert (made.cost(10**6, 10**6) or 0) > 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (google(400, 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'), "seed=off"),
        (google(400, "Invalid reasoning_effort: minimal. Valid values are: high, low, medium, none"),
         "leave reasoning_effort= out"),
        (google(400, "API key not valid. Please pass a valid API key."), "the key was refused"),
        (google(404, "models/gemini-0 is not found for API version v1main", "NOT_FOUND"), "is the model's name right"),
        (anthropic(400, "`temperature` is deprecated for this model."), "annotate.temperature=1"),
        (anthropic(400, "Your credit balance is too low to access the Anthropic API."), "no money or quota left"),
        (anthropic(401, "invalid x-api-key", "authentication_error"), "the key was refused"),
        (anthropic(404, "model: claude-0", "not_found_error"), "is the model's name right"),
    ],
)  # fmt: skip
def test_what_makes_going_on_senseless_stops_at_once(fault: Fault, said: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: fault
    with pytest.raises(TeacherError, match=said):
        ask(teacher(endpoint, concurrency=1), 20)
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (anthropic(400, "prompt is too long: 215000 tokens > 200000 maximum"), "context too long"),
        (google(400, "The input token count exceeds the maximum number of tokens allowed (1048576)."),
         "context too long"),
        (reply(completion(None, finish="SAFETY")), "content filter"),
        (reply(completion(None, finish="content_filter: PROHIBITED_CONTENT")), "content filter"),
        (reply(completion("I cannot help with that.", finish="refusal")), "refusal"),
        (reply(completion(None, finish="MAX_TOKENS")), TRUNCATED),
    ],
)  # fmt: skip
def test_a_prompts_own_fault_is_known_in_their_words(fault: Fault, outcome: str, endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: fault
    assert only(teacher(endpoint)).outcome == outcome
    assert len(endpoint.calls) == 1


def test_the_wait_that_google_asks_for_in_the_body_is_waited_out(endpoint: Endpoint) -> None:
    wait = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.4s"}]  # fmt: skip
    limit = google(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", wait)
    endpoint.behave = lambda call: limit if call.attempt == 1 else None
    assert only(teacher(endpoint)).outcome == ANSWERED
    first, second = endpoint.calls
    assert second.time - first.time >= 0.38


def test_what_was_thought_outside_the_answers_tokens_is_paid_for(endpoint: Endpoint) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
    endpoint.behave = lambda call: reply({**completion("<thought>Hm.</thought>The answer is 36"), "usage": usage})
    found = only(teacher(endpoint))
    assert (found.prompt_tokens, found.completion_tokens) == (20, 603)
    assert (found.completion, found.reasoning) == ("The answer is 36", "Hm.")


OVERLOADED = {
    "anthropic": (anthropic(529, "Overloaded", "overloaded_error"), anthropic(500, "Internal error", "api_error")),
    "google": (google(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
               google(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED")),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OVERLOADED))
def test_every_prompt_is_answered_once_at_a_fault_rate_of_30_percent(
    name: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behave(call: Call) -> Fault | None:
        draw = random.Random(hashlib.sha256(f"{call.prompt}|{call.attempt}".encode()).digest())
        return draw.choice(OVERLOADED[name]) if draw.random() < 0.3 else None

    monkeypatch.setenv(PROVIDERS[name]["key_env"], KEY)
    endpoint.behave = behave
    found = ask(teacher(endpoint, provider=name, retries=12), 100)
    assert {one.outcome for one in found.values()} == {ANSWERED}
    assert set(endpoint.delivered.values()) == {1}
    assert len(endpoint.calls) > 115
