"""Teachers asked through an endpoint of our own; nothing here sleeps for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from sitkit.spec import parse_spec
from sitkit.types import Context, Generation, Prompt, Reply
from sitkit_openai import openai_teacher
from sitkit_openai.teacher import OpenAITeacher
from tests.sitkit_openai.endpoint import Call, Endpoint, Fault

Behave = Callable[[Call], Fault | None]
GENERATION = Generation(max_new_tokens=64, temperature=0.7, seed=3)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint that behaves well until it is told otherwise."""
    with Endpoint() as made:
        yield made


def teacher(endpoint: Endpoint | None = None, **options: object) -> OpenAITeacher:
    """A teacher that loses no time between attempts."""
    given = {"base_url": endpoint.url} if endpoint is not None else {}
    spec = ",".join(["openai:m", *(f"{key}={value}" for key, value in {**given, "backoff": 0.001, **options}.items())])
    made = openai_teacher(parse_spec(spec), Context())
    assert isinstance(made, OpenAITeacher)
    return made


def prompts(count: int, start: int = 0) -> list[Prompt]:
    return [Prompt(f"id-{number}", f"Question {number}") for number in range(start, start + count)]


def ask(made: OpenAITeacher, asked: Sequence[Prompt] | int = 1) -> dict[str, Reply]:
    """Every reply by id, checked to come once."""
    wanted = prompts(asked) if isinstance(asked, int) else asked
    found: dict[str, Reply] = {}
    for reply in made.complete(wanted, GENERATION):
        assert reply.id not in found
        found[reply.id] = reply
    return found


def only(made: OpenAITeacher) -> Reply:
    """The reply to one prompt."""
    (reply,) = ask(made).values()
    return reply


def until_it_ends(replies: Iterable[Reply]) -> tuple[list[Reply], BaseException | None]:
    """Every reply that came, and what ended them early."""
    got = list[Reply]()
    try:
        for reply in replies:
            got.append(reply)
    except BaseException as error:
        return got, error
    return got, None
