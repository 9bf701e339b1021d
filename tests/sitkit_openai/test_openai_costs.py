"""Token counts, prices, and a budget that is never passed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sitkit.errors import TeacherError
from sitkit.types import ANSWERED, Prompt, Reply
from sitkit_openai.costs import PRICES, counter, most_tokens
from sitkit_openai.options import Options
from tests.sitkit_openai.conftest import GENERATION, ask, prompts, teacher, until_it_ends
from tests.sitkit_openai.endpoint import PASSING, Call, Endpoint, Fault, completion, reply

LOCAL = "http://localhost:1/v1"


def test_an_estimate_counts_letters_where_nothing_better_is_there() -> None:
    made = teacher(base_url=LOCAL, price_in=2, price_out=8, system="abcd")
    found = made.estimate([Prompt("a", "x" * 41), Prompt("b", "")], GENERATION)
    # 11 and 0 tokens of text, 1 of the system prompt, and 8 for the form of each message.
    assert (found.calls, found.prompt_tokens, found.completion_tokens) == (2, 11 + 2 * (1 + 16), 128)
    assert found.cost == pytest.approx((45 * 2 + 128 * 8) / 1e6)


def test_no_price_is_no_cost() -> None:
    made = teacher(base_url=LOCAL)
    assert made.estimate(prompts(2), GENERATION).cost is None
    assert made.cost(10, 10) is None


def test_known_prices_hold_for_openai_alone_and_batches_cost_half(monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit.spec import parse_spec
    from sitkit.types import Context
    from sitkit_openai import openai_teacher

    def cost(spec: str) -> float | None:
        return openai_teacher(parse_spec(spec), Context()).cost(1_000_000, 1_000_000)  # type: ignore[attr-defined,no-any-return]

    into, out = PRICES["gpt-4o-mini"]
    assert cost("openai:gpt-4o-mini") == into + out
    assert cost("openai:gpt-4o-mini,batch=true") == (into + out) / 2
    assert cost("openai:gpt-4o-mini,batch=true,price_in=1,price_out=2") == 3
    assert cost(f"openai:gpt-4o-mini,base_url={LOCAL}") is None
    assert cost("openai:no-such-model") is None


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"no price is known .* price_in="):
        teacher(base_url=LOCAL).begin(tmp_path, budget=1.0)
    teacher(base_url=LOCAL).begin(tmp_path, budget=None)
    teacher(base_url=LOCAL, price_in=0, price_out=0).begin(tmp_path, budget=1.0)
    assert not list(tmp_path.iterdir())


def _spend(endpoint: Endpoint, budget: float, count: int, **options: object) -> tuple[list[Reply], float, bool]:
    made = teacher(endpoint, price_in=1e6, price_out=1e6, **options)
    made.begin(Path("nowhere"), budget=budget)
    got, end = until_it_ends(made.complete(prompts(count), GENERATION))
    if end is not None:
        assert isinstance(end, TeacherError)
        assert "past the limit" in str(end)
        assert "--max-cost" in str(end)
    return got, sum(one.prompt_tokens + one.completion_tokens for one in got), end is not None


def test_a_budget_is_used_and_never_passed(endpoint: Endpoint) -> None:
    # Each call takes 15 tokens at a dollar each; at its worst about 140.
    endpoint.latency = 0.005
    got, spent, stopped = _spend(endpoint, 1000.0, 200, concurrency=8)
    assert stopped
    assert 1000 - 150 <= spent <= 1000
    assert len(endpoint.calls) == len(got) == spent / 15


def test_what_fits_is_not_stopped(endpoint: Endpoint) -> None:
    got, _, stopped = _spend(endpoint, 40 * 15 + 150, 40)
    assert len(got) == 40
    assert not stopped


def test_a_budget_holds_over_several_askings(endpoint: Endpoint) -> None:
    made = teacher(endpoint, price_in=1e6, price_out=1e6)
    made.begin(Path("nowhere"), budget=1000)
    assert len(ask(made, 30)) == 30
    with pytest.raises(TeacherError, match=r"\$4[0-9][0-9].0000 of|\$[89][0-9][0-9].0000 of"):
        ask(made, prompts(60, start=100))
    assert len(endpoint.calls) * 15 <= 1000


def test_calls_whose_reply_was_lost_count_at_their_worst(endpoint: Endpoint) -> None:
    # The provider may have billed them; refused ones it has not.
    endpoint.behave = lambda call: PASSING["stall"] if call.attempt == 1 else None
    _, spent, stopped = _spend(endpoint, 1000.0, 50, timeout=0.1)
    assert stopped
    assert spent <= 300
    endpoint.behave = lambda call: PASSING["server error"] if call.attempt == 1 else None
    endpoint._attempts.clear()
    got, _, stopped = _spend(endpoint, 1000.0, 50, retries=1)
    assert len(got) >= 50


def test_replies_without_token_counts_count_at_their_worst(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: reply({**completion("x"), "usage": None})
    got, spent, stopped = _spend(endpoint, 1000.0, 50)
    assert (spent, stopped) == (0, True)
    assert {one.outcome for one in got} == {ANSWERED}
    assert 5 <= len(got) <= 10


def test_random_usage_never_passes_a_budget(endpoint: Endpoint) -> None:
    draw = random.Random(3)

    def behave(call: Call) -> Fault:
        usage = {"prompt_tokens": draw.randint(1, 70), "completion_tokens": draw.randint(0, 64)}
        return reply({**completion("x"), "usage": usage})

    endpoint.behave = behave
    for budget in (100.0, 250.0, 700.0):
        _, spent, stopped = _spend(endpoint, budget, 60, concurrency=5)
        assert stopped
        assert spent <= budget


def test_a_prompt_never_has_more_tokens_than_its_bound() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    # Every byte a token of its own: the most that a byte-level vocabulary can give.
    encoding = tiktoken.Encoding("bytes", pat_str=r".|\n", mergeable_ranks={bytes([n]): n for n in range(256)},
                                 special_tokens={})  # fmt: skip
    for text in ("", "2 + 2 = 4", "日本語のテキスト", "\\frac{1}{2}", "🙂" * 9):
        assert len(encoding.encode(text)) <= most_tokens(Options(model="m"), text)


def test_tiktoken_is_not_asked_to_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    count = counter(Options(model="gpt-4o-mini"))
    assert (count(""), count("abcd"), count("abcde")) == (0, 1, 2)
