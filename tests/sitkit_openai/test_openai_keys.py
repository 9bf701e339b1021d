"""The key is in no file and on no screen, and neither is a part of it, whatever an endpoint sends back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.cli.main import run
from sitkit_openai.api_keys import scrub
from tests.installed import sitkit
from tests.sitkit_openai.conftest import ask, teacher
from tests.sitkit_openai.endpoint import Call, Endpoint, Fault, completion, error, reply, reset, status
from tests.sitkit_openai.runs import arguments, install_student

KEY = "sk-proj-Marked0Key1That2Nobody3May4See5"
PARTS = [KEY[start : start + 8] for start in range(len(KEY) - 7)]


def masked(call: Call) -> str:
    """The key as providers echo it: whole, its ends, its tail."""
    key = call.headers["authorization"].removeprefix("Bearer ")
    return f"Incorrect API key provided: {key[:9]}********{key[-9:]}. Bearer {key} {key[7:]} {key.upper()} '{key}'"


KINDS: dict[str, Callable[[Call], Fault | None]] = {
    "bad key": lambda call: error(401, masked(call), "invalid_request_error", "invalid_api_key"),
    "forbidden": lambda call: error(403, masked(call)),
    "no model": lambda call: error(404, masked(call), name="model_not_found"),
    "quota": lambda call: error(429, masked(call), "insufficient_quota", "insufficient_quota"),
    "html": lambda call: status(503, f"<html><body>{masked(call)}</body></html>"),
    "reset": lambda call: reset,
    "wrong field": lambda call: error(400, masked(call), name="unsupported_parameter", param=KEY),
    "bad request": lambda call: error(400, masked(call)),
    "refusal": lambda call: reply(completion(None, refusal=masked(call))),
    "error in 200": lambda call: reply({"error": {"code": 500, "message": masked(call)}}),
}


def _written(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _check(workspace: Path, *shown: str) -> None:
    for where, content in [*_written(workspace).items(), *((Path("screen"), text.encode()) for text in shown)]:
        for part in PARTS:
            assert part.encode() not in content, f"{where} holds {part}: {content[:2000]!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_shows_the_key(
    kind: str,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    endpoint.behave = KINDS[kind]
    spec = f"openai:m,base_url={endpoint.url},retries=1,backoff=0.001"
    code = run(arguments(spec, tmp_path / "w", "--debug", "--limit", "60", student="tiny"))
    said = capfd.readouterr()
    assert code == 2, said.err
    assert "Traceback" in said.err
    assert any(call.headers["authorization"] == f"Bearer {KEY}" for call in endpoint.calls)
    assert caplog.text
    _check(tmp_path, said.out, said.err, caplog.text)


@pytest.mark.slow
def test_nothing_of_a_finished_run_holds_the_key(endpoint: Endpoint, tmp_path: Path) -> None:
    def behave(call: Call) -> Fault | None:
        number = len(endpoint.calls)
        return list(KINDS.values())[7 + number % 3](call) if number % 20 == 0 else None

    endpoint.behave = behave
    spec = f"openai:m,base_url={endpoint.url},retries=0,key_env=LAB_KEY"
    done = sitkit(
        *arguments(spec, tmp_path / "w", "--debug"), path=install_student(tmp_path / "site"), LAB_KEY=KEY,
        OPENAI_LOG="debug",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "HTTP Request" in done.stderr, "the client's own log has to be there to be searched"
    _check(tmp_path, done.stdout, done.stderr)
    failures = b"".join(path.read_bytes() for path in (tmp_path / "w").rglob("failures.jsonl"))
    assert b"[secret]" in failures
    assert "LAB_KEY" in (tmp_path / "w" / "runs" / "r" / "recipe.yaml").read_text(encoding="utf-8")


def test_an_answer_that_repeats_the_key_is_kept_without_it(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.behave = lambda call: reply(
        completion(f"You sent  {KEY}.\nThe answer is 7", reasoning=call.headers["authorization"])
    )
    (got,) = ask(teacher(endpoint), 1).values()
    assert (got.completion, got.reasoning) == ("You sent  [secret].\nThe answer is 7", "Bearer [secret]")


@given(st.text(), st.text(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60))
def test_no_eight_letters_of_a_key_are_left(before: str, after: str, key: str) -> None:
    for text in (key, key[:8], key[-8:], key[3:11], f"'{key}'", key + key):
        shown = scrub(f"{before}{text}{after}", (key,))
        assert not any(key[start : start + 8] in shown for start in range(len(key) - 7) if "[secret]" not in key)


@given(st.text(st.sampled_from("abcdefgh ."), max_size=40))
def test_other_text_stays(text: str) -> None:
    assert scrub(text, ("ZZZZ-1234-YYYY",)) == " ".join(text.split())


@pytest.mark.parametrize(
    "text", ["key sk-abcd1234efgh is wrong", "got abcd****wxyz", "Bearer abc.def", "gsk_abc123def"]
)
def test_what_looks_like_a_key_is_masked_though_it_is_not_ours(text: str) -> None:
    shown = scrub(text, ())
    assert "[secret]" in shown
    assert "abc" not in shown
