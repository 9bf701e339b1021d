"""Token counts, prices, and a budget that is never passed."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sitkit.errors import TeacherError
from sitkit.spec import parse_spec
from sitkit.types import ANSWERED, Context, Prompt, Reply
from sitkit_openai import openai_teacher
from sitkit_openai.costs import counter, most_tokens
from sitkit_openai.options import Options
from sitkit_openai.teacher import OpenAITeacher
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


def made(spec: str) -> OpenAITeacher:
    found = openai_teacher(parse_spec(spec), Context())
    assert isinstance(found, OpenAITeacher)
    return found


def cost(spec: str) -> float | None:
    return made(spec).cost(1_000_000, 1_000_000)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_the_table_holds_the_prices_of_openai_and_of_its_batches(model: str) -> None:
    # As OpenAI has charged for this model since July 2024.
    assert cost(f"openai:{model}") == pytest.approx(0.15 + 0.60)
    assert cost(f"openai:{model},batch=true") == pytest.approx((0.15 + 0.60) / 2)
    assert cost(f"openai:{model},batch=true,price_in=1,price_out=2") == 3
    found = made(f"openai:{model}").estimate(prompts(1), GENERATION)
    assert re.fullmatch(r"genai-prices [0-9.]+, newest price 20[0-9]{2}-[0-9]{2}-[0-9]{2}", found.pricing)


@pytest.mark.parametrize(
    "spec",
    [
        "openai:no-such-model",
        "openai:gpt-4o-mini,base_url=https://openai.example.org/v1",
        # A sum for each call comes on top of the tokens.
        "openai:sonar-pro,base_url=https://api.perplexity.ai",
    ],
)
def test_what_the_table_lacks_has_no_price_and_says_so(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    assert cost(spec) is None
    name = re.escape(f"{spec.split(',')[0]} at ")
    assert re.match(rf"{name}\S+ \(not in genai-prices ", made(spec).estimate(prompts(1), GENERATION).pricing)
    with pytest.raises(TeacherError, match=name + r"\S+ \(not in genai-prices"):
        made(spec).begin(tmp_path, budget=1.0)


@pytest.mark.parametrize("spec", [f"openai:gpt-4o-mini,base_url={LOCAL}", "openai:gpt-4o-mini,price_in=1,price_out=2"])
def test_the_table_is_loaded_for_what_may_be_in_it_alone(spec: str) -> None:
    code = (
        "import sys\nfrom sitkit.spec import parse_spec\nfrom sitkit.types import Context, Generation, Prompt\n"
        "from sitkit_openai import openai_teacher\n"
        "for spec in sys.argv[1:]:\n    made = openai_teacher(parse_spec(spec), Context())\n"
        "print('genai_prices' in sys.modules)\n"
        "made.estimate([Prompt('p', 'x')], Generation(8))\nprint('genai_prices' in sys.modules)\n"
    )
    for specs, loaded in (((spec,), "False"), (("openai:gpt-4o-mini",), "True")):
        done = subprocess.run([sys.executable, "-c", code, *specs], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", loaded]


def test_the_price_is_the_dearest_of_the_day_and_that_of_prompts_of_ordinary_length() -> None:
    # DeepSeek asks for half outside certain hours; Gemini 2.5 Pro for twice as much beyond 200,000 tokens.
    from genai_prices import Usage, calc_price

    url = "https://api.deepseek.com/v1"
    usage, day = Usage(input_tokens=10**6, output_tokens=0), datetime(2026, 11, 1, tzinfo=UTC)
    hours = {
        float(calc_price(usage, "deepseek-chat", provider_api_url=url, genai_request_timestamp=found).input_price)
        for found in (day + timedelta(hours=hour) for hour in range(24))
    }
    assert len(hours) > 1
    assert made(f"openai:deepseek-chat,base_url={url}").cost(10**6, 0) == pytest.approx(max(hours))
    gemini = "openai:gemini-2.5-pro,base_url=https://generativelanguage.googleapis.com/v1beta/openai"
    assert made(gemini).cost(10**6, 0) == pytest.approx(1.25)


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
