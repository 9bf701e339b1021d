"""Waiting and concurrency: what an endpoint asks for is honoured by every call, and no more is waited than that."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from sitkit.types import ANSWERED
from sitkit_openai.concurrency import Pace
from sitkit_openai.failures import retry_after
from sitkit_openai.options import Options
from sitkit_openai.outcomes import Verdict
from sitkit_openai.requests import retry_options
from tests.sitkit_openai.conftest import ask, teacher
from tests.sitkit_openai.endpoint import Call, Endpoint, Fault, error


@pytest.mark.parametrize("header", ["0.6", "date"])
def test_a_wait_that_one_call_is_told_holds_for_all(header: str, endpoint: Endpoint) -> None:
    told: list[float] = []
    wait = 0.6 if header != "date" else 1.0

    counter = itertools.count(1)

    def behave(call: Call) -> Fault | None:
        if next(counter) != 10:
            return None
        told.append(time.monotonic())
        if header == "date":
            now = float(int(time.time()))
            stamps = {"Date": now, "Retry_After": now + 1}
            return error(429, **{key: email.utils.formatdate(value, usegmt=True) for key, value in stamps.items()})
        return error(429, Retry_After=header)

    endpoint.behave, endpoint.latency = behave, 0.02
    found = ask(teacher(endpoint, concurrency=4), 60)
    assert {reply.outcome for reply in found.values()} == {ANSWERED}
    after = [call.time for call in endpoint.calls if call.time > told[0] + 0.05]
    assert min(after) - told[0] >= wait - 0.02


def test_rate_limits_alone_do_not_use_up_a_prompts_retries_while_others_are_answered(endpoint: Endpoint) -> None:
    # The endpoint answers every third call only, and one prompt not before its eighth.
    counter = itertools.count(1)

    def behave(call: Call) -> Fault | None:
        unlucky = call.prompt == "Question 0" and call.attempt < 8
        return error(429, Retry_After="0.001") if unlucky or next(counter) % 3 else None

    endpoint.behave = behave
    found = ask(teacher(endpoint, retries=4, concurrency=8), 80)
    assert {reply.outcome for reply in found.values()} == {ANSWERED}


def test_rate_limits_without_end_are_given_up(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: error(429, Retry_After="0.001")
    assert {reply.outcome for reply in ask(teacher(endpoint, retries=2), 5).values()} == {"rate limit"}


def test_concurrency_is_used_and_not_passed(endpoint: Endpoint) -> None:
    endpoint.latency = 0.05
    ask(teacher(endpoint, concurrency=7), 70)
    assert endpoint.most_flying == 7


def test_concurrency_falls_to_what_the_endpoint_bears(endpoint: Endpoint) -> None:
    # It refuses whatever goes beyond three at a time, as rate limiters by concurrency do.
    endpoint.latency = 0.01
    endpoint.behave = lambda call: error(429) if endpoint.flying > 3 else None
    found = ask(teacher(endpoint, concurrency=32, backoff=0.01), 300)
    assert {reply.outcome for reply in found.values()} == {ANSWERED}
    refused = len(endpoint.calls) - 300
    assert refused < 150, f"{refused} of {len(endpoint.calls)} calls were refused"


def test_first_come_first_served(endpoint: Endpoint) -> None:
    endpoint.latency = 0.005
    ask(teacher(endpoint, concurrency=4), 200)
    order = [int(prompt.split()[1]) for prompt in endpoint.prompts()]
    assert max(abs(place - number) for place, number in enumerate(order)) < 50


def test_a_place_given_to_who_is_cancelled_goes_to_the_next() -> None:
    async def scene() -> None:
        pace = Pace(1)
        await pace.enter()
        first, second = (asyncio.create_task(pace.enter()) for _ in range(2))
        await asyncio.sleep(0.02)
        pace.leave()
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert first.cancelled()
        assert pace.flying == 1

    asyncio.run(scene())


def test_a_burst_of_rate_limits_halves_once() -> None:
    async def scene() -> None:
        pace = Pace(16)
        started = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        for _ in range(16):
            pace.limited(started, None)
        assert pace.limit == 8
        for _ in range(8):
            pace.answered()
        assert 8.9 < pace.limit < 9.1
        for _ in range(500):
            pace.answered()
        assert pace.limit == 16

    asyncio.run(scene())


def test_a_wait_for_days_is_not_sat_out(endpoint: Endpoint) -> None:
    endpoint.behave = lambda call: error(429, Retry_After="200000")
    with pytest.raises(Exception, match="asks to wait 56 hours"):
        ask(teacher(endpoint), 3)


@given(st.integers(1, 60), st.floats(0.001, 100))
def test_backoff_doubles_within_its_jitter_and_stays_below_its_longest(attempt: int, base: float) -> None:
    found = _wait(attempt, base, Verdict("server error"))
    plain = min(max(60.0, base), base * 2 ** (attempt - 1))
    assert 0.499 * plain <= found <= 1.501 * plain


@given(st.integers(0, 60), st.floats(0.001, 100), st.floats(0, 10**5))
def test_no_retry_comes_before_what_the_endpoint_asks_for(attempt: int, base: float, wait: float) -> None:
    assert _wait(attempt, base, Verdict("rate limit", wait=wait)) >= max(wait, base / 2)


def _wait(attempt: int, base: float, verdict: Verdict) -> float:
    how = retry_options(Options(model="m", backoff=base))
    state = RetryCallState(Retrying(**how), None, (), {})
    state.attempt_number = attempt
    state.set_result(verdict)
    found: float = how["wait"](state)
    return found


@given(st.integers(0, 10**6))
def test_seconds_are_read_as_they_are(seconds: int) -> None:
    assert retry_after({"retry-after": str(seconds)}) == seconds
    assert retry_after({"retry-after": f" {seconds}.5 "}) == seconds + 0.5
    assert retry_after({"retry-after-ms": str(seconds), "retry-after": "9"}) == seconds / 1000


@given(st.integers(0, 4 * 10**9), st.integers(-(10**5), 10**5))
def test_dates_are_measured_against_the_servers_own_clock(now: int, later: int) -> None:
    stamps = {"date": email.utils.formatdate(now, usegmt=True), "retry-after": email.utils.formatdate(now + later)}
    assert retry_after(stamps, now=0.0) == max(0, later)
    assert retry_after({"retry-after": stamps["retry-after"]}, now=float(now)) == max(0, later)


@given(st.text())
def test_whatever_the_header_says_it_is_a_time_or_nothing(text: str) -> None:
    found = retry_after({"retry-after": text, "date": text, "retry-after-ms": text}, now=0.0)
    assert found is None or found >= 0


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1e3", "٣", "9" * 400, "Mon, 99 Foo 2026 99:99:99"])
def test_what_is_no_time_is_left_to_the_backoff(text: str) -> None:
    assert retry_after({"retry-after": text}) is None
