from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.capabilities import PromptCompleter
from sitkit.errors import SpecError, TeacherError
from sitkit.spec import Spec, parse_spec
from sitkit.types import Generation, Prompt, Teacher
from sitkit_lmeval.options import parse_options

ONE = [Prompt("p", "Question: 1+1?\nAnswer:")]
SHORT = Generation(max_new_tokens=4)


def test_it_is_a_teacher_that_completes(make_teacher: Callable[[str], Any]) -> None:
    teacher = make_teacher("lm-eval:dummy")
    assert isinstance(teacher, Teacher)
    assert isinstance(teacher, PromptCompleter)


def test_everything_but_our_own_option_reaches_the_backend() -> None:
    options = parse_options(parse_spec("lm-eval:hf,pretrained=./a,b,dtype=float32,chat_template=off,batch_size=8"))
    assert options.backend == "hf"
    assert options.arguments == {"pretrained": "./a,b", "dtype": "float32", "batch_size": "8"}
    assert options.chat_template == "off"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("lm-eval", "needs a model backend of lm-eval"),
        ("lm-eval:vlm", "did you mean 'vllm'"),
        ("lm-eval:dummy,chat_template=maybe", "expected one of auto, on, off"),
    ],
)
def test_a_wrong_spec_is_one_line(spec: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        parse_options(parse_spec(spec))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apikey", "key", "token", "hf_token", "auth_token", "use_auth_token", "openai_api_key", "password",
        "client_secret", "header", "authorization", "aws_secret_access_key",
    ],
)  # fmt: skip
def test_a_secret_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(SpecError, match="environment") as caught:
        parse_options(Spec("lm-eval", "hf", {name: "marked-value"}))
    assert "marked-value" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["sk-proj-0123456789", "hf_abcdefghijklmnopqrst", "Bearer abc", "https://me:word@host/v1"]
)
def test_a_value_that_looks_like_a_secret_is_refused_whatever_its_name(value: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_options(Spec("lm-eval", "hf", {"pretrained": value}))
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer", "tokenizer_backend", "tokenized_requests", "add_bos_token", "prefix_token_id", "think_end_token",
        "max_gen_toks", "custom_prefix_token_id", "pretrained", "base_url", "eos_string",
    ],
)  # fmt: skip
def test_arguments_that_are_no_secrets_pass(name: str) -> None:
    assert parse_options(Spec("lm-eval", "hf", {name: "http://localhost:8000/v1"})).arguments


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,15}", fullmatch=True), st.text(max_size=30), max_size=4))
def test_options_are_taken_or_refused_with_a_spec_error(options: dict[str, str]) -> None:
    try:
        taken = parse_options(Spec("lm-eval", "dummy", options))
    except SpecError:
        return
    assert {**taken.arguments, "chat_template": taken.chat_template} == {"chat_template": "auto", **options}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("lm-eval:scripted,stile=plain", "takes no argument 'stile'; did you mean 'style'"),
        ("lm-eval:scripted,zzz=1", "takes no argument 'zzz'; it knows batch_size, pretrained, style"),
        ("lm-eval:hf", "needs pretrained="),
        ("lm-eval:hf,pretrained=./nowhere", "cannot make its hf model"),
        ("lm-eval:scripted,chat_template=on", "chat_template=on"),
    ],
)
def test_what_the_backend_refuses_is_one_line(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any], spec: str, told: str
) -> None:
    scripted(lambda prompt: "4")
    with pytest.raises(TeacherError, match=told) as caught:
        list(make_teacher(spec).complete(ONE, SHORT))
    assert "\n" not in str(caught.value)


def test_an_argument_that_transformers_refuses_is_named_too(make_teacher: Callable[[str], Any], world: Path) -> None:
    with pytest.raises(TeacherError, match="takes no argument 'dtpye'; did you mean 'dtype'"):
        list(make_teacher(f"lm-eval:hf,pretrained={world},dtpye=float32").complete(ONE, SHORT))


def test_a_backend_that_is_not_installed_is_named(make_teacher: Callable[[str], Any]) -> None:
    with pytest.raises(TeacherError, match="lm-eval's habana needs a package that is not installed"):
        list(make_teacher("lm-eval:habana,pretrained=x").complete(ONE, SHORT))


def test_an_error_never_tells_a_key_of_the_environment(
    make_teacher: Callable[[str], Any], scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "marked-0123456789")

    def fail(prompt: str) -> str:
        raise RuntimeError("401: wrong key\nmarked-0123456789")

    scripted(fail)
    with pytest.raises(TeacherError, match=r"401: wrong key \$OPENAI_API_KEY") as caught:
        list(make_teacher("lm-eval:scripted").complete(ONE, SHORT))
    assert "marked" not in str(caught.value)


def test_the_fingerprint_is_of_what_files_hold_not_of_where_they_lie(
    make_teacher: Callable[[str], Any], tmp_path: Path
) -> None:
    def fingerprint(folder: str, **options: str) -> Any:
        return make_teacher(str(Spec("lm-eval", "hf", {"pretrained": folder, **options}))).fingerprint()

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    first = fingerprint(one)
    assert json.loads(json.dumps(first)) == first == fingerprint(two) == fingerprint(one, cache_dir="/anywhere")
    assert str(tmp_path) not in json.dumps(first)
    (tmp_path / "two" / "model.safetensors").write_bytes(b"others!")
    assert fingerprint(two) != first
    assert (
        len({json.dumps(fingerprint(one, **extra)) for extra in ({}, {"dtype": "float32"}, {"batch_size": "8"})}) == 3
    )
    assert fingerprint("org/name")["arguments"] == {"pretrained": "org/name"}


def test_making_one_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys, sitkit_lmeval; from sitkit.spec import parse_spec; from sitkit.types import Context\n"
        "sitkit_lmeval.lm_eval_teacher(parse_spec('lm-eval:hf,pretrained=org/name'), Context()).fingerprint()\n"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_is_found_by_its_name() -> None:
    from sitkit.registry import load_plugins

    assert isinstance(load_plugins().teacher(parse_spec("lm-eval:dummy")), Teacher)
