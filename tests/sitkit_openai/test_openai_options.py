"""What may follow openai: and what goes into keys of the store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.capabilities import PaidEndpoint, PromptCompleter
from sitkit.errors import SpecError
from sitkit.spec import parse_spec
from sitkit.types import Context, Teacher
from sitkit_openai import openai_teacher
from sitkit_openai.options import parse_options
from tests.sitkit_openai.conftest import teacher


def test_it_is_all_that_a_teacher_may_be() -> None:
    made = teacher(base_url="http://localhost:1/v1")
    assert isinstance(made, Teacher)
    assert isinstance(made, PromptCompleter)
    assert isinstance(made, PaidEndpoint)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai", "a model's name"),
        ("openai:m,concurency=3", "did you mean 'concurrency'"),
        ("openai:m,concurrency=0", "from 1 to 1024"),
        ("openai:m,retries=-1", "from 0 to 1000"),
        ("openai:m,timeout=0", "above 0"),
        ("openai:m,timeout=nan", "above 0"),
        ("openai:m,top_p=1.1", "up to 1"),
        ("openai:m,temperature=-0.1", "at least 0"),
        ("openai:m,price_in=1", "belong together"),
        ("openai:m,price_in=-1,price_out=1", "at least 0"),
        ("openai:m,base_url=localhost:8000", "such as http://"),
        ("openai:m,base_url=ftp://x/v1", "such as http://"),
        ("openai:m,base_url=http://x:99999/v1", "such as http://"),
        ("openai:m,extra_body=[1]", "a JSON object"),
        ('openai:m,extra_body={"seed":1}', "set by sitkit"),
        ("openai:m,length_field=tokens", "expected one of"),
        ("openai:m,batch=maybe", "true or false"),
    ],
)
def test_what_is_wrong_is_said(spec: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        openai_teacher(parse_spec(spec), Context())


@pytest.mark.parametrize(
    "spec",
    [
        "openai:m,api_key=TOPSECRET",
        "openai:m,key=TOPSECRET",
        "openai:m,key_env=sk-TOPSECRET",
        "openai:m,key_env=gsk_abcTOPSECRET",
        "openai:m,base_url=http://user:TOPSECRET@host/v1",
        "openai:m,base_url=https://host/v1?key=TOPSECRET",
        "openai:m,base_url=https://host/v1#TOPSECRET",
    ],
)
def test_a_secret_in_a_spec_is_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(SpecError) as caught:
        openai_teacher(parse_spec(spec), Context())
    assert "TOPSECRET" not in str(caught.value)
    assert "environment variable" in str(caught.value)


def test_the_fingerprint_holds_what_determines_answers_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    base = teacher(base_url="http://h:1/v1/").fingerprint()
    same = {"concurrency": 3, "retries": 1, "timeout": 9, "backoff": 2, "price_in": 1, "price_out": 2, "batch": "on",
            "key_env": "OTHER", "poll": 3, "length_field": "max_completion_tokens"}  # fmt: skip
    assert teacher(base_url="http://h:1/v1", **same).fingerprint() == base
    for changed in ({"system": "s"}, {"temperature": 0.7}, {"top_p": 0.5}, {"reasoning_effort": "low"},
                    {"seed": "off"}, {"stop": "on"}, {"extra_body": '{"top_k":1}'}):  # fmt: skip
        assert teacher(base_url="http://h:1/v1", **changed).fingerprint() != base
    assert teacher(base_url="http://h:2/v1").fingerprint() != base
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:pass@h:1/v1?x=y")
    assert teacher().fingerprint() == base


def test_openais_own_models_get_the_field_they_take() -> None:
    assert parse_options(parse_spec("openai:gpt-4o-mini")).max_tokens_field == "max_completion_tokens"
    assert parse_options(parse_spec("openai:m,base_url=http://x/v1")).max_tokens_field == "max_tokens"


@given(st.text(min_size=1).filter(lambda text: not text.startswith("~")))
def test_any_option_value_is_taken_or_refused_in_one_class(text: str) -> None:
    for key in ("base_url", "extra_body", "timeout", "concurrency", "system"):
        try:
            parse_options(parse_spec(f"openai:m,{key}={text}"))
        except SpecError:
            continue
