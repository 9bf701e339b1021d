"""Paired tests: known values, and what has to hold for any answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.report.page.accuracy import difference
from sitkit.results.significance import compare, detectable, independent_discordance, mcnemar, needed


def _answers(pairs: list[tuple[bool, bool]]) -> tuple[dict[str, bool], dict[str, bool]]:
    return {str(at): was for at, (was, _) in enumerate(pairs)}, {str(at): now for at, (_, now) in enumerate(pairs)}


def test_mcnemars_exact_test_is_the_binomial_test_of_gained_against_lost() -> None:
    before, after = _answers([(False, True)] * 8 + [(True, False)] + [(True, True)] * 5)
    # 2 * P(X >= 8) for X of 9 fair coins: 2 * (9 + 1) / 2**9
    assert mcnemar(before, after) == (8, 1, pytest.approx(20 / 512))
    assert mcnemar(before, before) == (0, 0, 1.0)


def test_only_questions_that_both_answered_count() -> None:
    assert mcnemar({"a": False, "b": False}, {"b": True, "c": True})[:2] == (1, 0)
    assert compare([({"a": True}, {"b": True})]) is None
    assert compare([]) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_the_difference_lies_in_its_interval_and_is_what_was_gained_less_lost(pairs: list[tuple[bool, bool]]) -> None:
    found = compare([_answers(pairs)])
    assert found is not None
    assert found.difference == pytest.approx((found.gained - found.lost) / len(pairs))
    assert found.low <= found.difference + 1e-12
    assert found.difference - 1e-12 <= found.high
    assert found == compare([_answers(pairs)])


def test_pairing_makes_the_interval_narrower_than_two_independent_samples() -> None:
    # 100 questions, half right before and after on the same ones, and 4 more after: paired, the gain is certain.
    found = compare([_answers([(True, True)] * 50 + [(False, True)] * 8 + [(False, False)] * 42)])
    assert found is not None
    assert found.certain
    assert found.low > 0.02
    assert found.high < 0.16


def test_seeds_share_their_questions() -> None:
    one = _answers([(False, True), (True, True), (False, False), (True, False)] * 10)
    alone, twice = compare([one]), compare([one, one])
    assert alone is not None
    assert twice is not None
    # The same answers again are no new questions: neither the interval nor p may get better by them.
    assert (twice.low, twice.high, twice.n) == (alone.low, alone.high, alone.n)
    assert twice.p == alone.p * 2
    assert (twice.gained, twice.lost) == (2 * alone.gained, 2 * alone.lost)


def test_seeds_that_contradict_each_other_make_nothing_certain() -> None:
    up = _answers([(False, True)] * 60 + [(True, True)] * 40)
    down = _answers([(True, True)] * 60 + [(True, False)] * 10 + [(True, True)] * 30)
    found = compare([up, down])
    assert found is not None
    # Each seed is far from equal, and so is their mean: only the directions tell.
    assert max(found.p) < 0.05
    assert found.low > 0
    assert not found.certain


def test_where_no_answer_changed_no_interval_is_shown() -> None:
    same, changed = (compare([_answers(pairs)]) for pairs in ([(True, True)] * 9, [(True, True)] * 8 + [(False, True)]))
    for test, shown in ((same, False), (changed, True)):
        told = difference(test)
        assert told is not None
        assert bool(told.interval) is shown


def test_the_number_of_questions_is_connors() -> None:
    # Connor (1987): p01 = 0.45, p10 = 0.05 take 23 pairs.
    assert needed(0.4, 0.5) == 23
    assert needed(-0.4, 0.5) == 23
    assert independent_discordance(0.5, 0.6) == pytest.approx(0.5)


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 100_000), st.floats(0.01, 0.9))
def test_what_can_be_told_takes_as_many_questions_as_there_are(n: int, discordance: float) -> None:
    assert needed(detectable(n, discordance) * 1.0001, discordance) <= n
    assert needed(detectable(n, discordance) * 0.999, discordance) >= n


def test_a_handful_of_questions_tells_nothing() -> None:
    assert detectable(2, 0.5) == 1.0
