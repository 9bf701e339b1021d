"""Prompts and headers go to the address that was named, and to no other: neither a redirect's nor a proxy's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sitkit.errors import TeacherError
from sitkit.types import ANSWERED
from tests.sitkit_openai.batch_endpoint import Batches
from tests.sitkit_openai.conftest import GENERATION, ask, prompts, teacher, until_it_ends
from tests.sitkit_openai.endpoint import Endpoint, completion, status

CODES = (301, 302, 303, 307, 308)


@pytest.fixture
def elsewhere() -> Iterator[Endpoint]:
    """Another host, which answers whatever it is asked."""
    with Endpoint() as made:
        made.routes = lambda method, path, body: (200, completion("The answer is 1."))
        yield made


@pytest.mark.parametrize("code", CODES)
def test_a_redirect_is_named_and_not_followed(
    code: int, endpoint: Endpoint, elsewhere: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Lab: lab-secret-1")
    there = f"{elsewhere.url}/chat/completions"
    endpoint.behave = lambda call: status(code, {}, Location=f"{there}?token=lab-secret-2#x")
    got, error = until_it_ends(teacher(endpoint).complete(prompts(3), GENERATION))
    assert isinstance(error, TeacherError)
    assert got == []
    assert f"HTTP {code}) to {there}, " in str(error)
    assert str(error).endswith(f"if you trust it, give base_url={elsewhere.url}")
    assert "secret" not in str(error)
    assert elsewhere.calls == elsewhere.others == []


def test_an_address_beside_the_one_asked_is_named_whole(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: status(308, {}, Location="/v2/chat/completions")
    with pytest.raises(TeacherError, match=r"give base_url=http://127\.0\.0\.1:[0-9]+/v2$"):
        ask(teacher(endpoint))


@pytest.mark.parametrize("location", [{}, {"Location": "http://[::1/v1"}])
def test_a_redirect_to_nowhere_says_so(location: dict[str, str], endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: status(302, {}, **location)
    with pytest.raises(TeacherError, match="without naming a new address"):
        ask(teacher(endpoint))


@pytest.mark.parametrize("route", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/", "GET /v1/files/"])
def test_batches_follow_no_redirect_either(route: str, endpoint: Endpoint, elsewhere: Endpoint, tmp_path: Path) -> None:
    batches = Batches()
    endpoint.routes = lambda method, path, body: (
        (302, f"{elsewhere.url}/moved") if f"{method} {path}".startswith(route) else batches(method, path, body)
    )
    made = teacher(endpoint, batch="true", poll=0.01)
    made.begin(tmp_path, budget=None)
    with pytest.raises(TeacherError, match=f"to {elsewhere.url}/moved, which was not asked"):
        ask(made, 2)
    assert elsewhere.calls == elsewhere.others == []
    # Nothing of it was taken for a result: where the redirect is gone, every answer comes.
    endpoint.routes = batches
    again = teacher(endpoint, batch="true", poll=0.01)
    again.begin(tmp_path, budget=None)
    assert {reply.outcome for reply in ask(again, 2).values()} == {ANSWERED}


@pytest.mark.parametrize("batch", ["false", "true"])
def test_an_endpoint_on_this_machine_is_asked_without_a_proxy(
    batch: str, endpoint: Endpoint, elsewhere: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv(name.lower(), elsewhere.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    endpoint.routes = Batches()
    made = teacher(endpoint, batch=batch, poll=0.01)
    made.begin(tmp_path, budget=None)
    assert {reply.outcome for reply in ask(made, 2).values()} == {ANSWERED}
    assert elsewhere.calls == elsewhere.others == []
