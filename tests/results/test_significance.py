"""Paired tests: known values, and what has to hold for any answers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sitkit.report.page.accuracy import difference
from sitkit.results.accuracy import standard_error, wilson
from sitkit.results.significance import compare, detectable, holm, mcnemar, needed, power


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
        told = difference(test, None)
        assert told is not None
        assert bool(told.interval) is shown


def test_the_power_of_the_exact_test_is_the_sum_over_all_outcomes() -> None:
    n, psi, difference = 7, 0.6, 0.4
    gain, loss = (psi + difference) / 2, (psi - difference) / 2
    expected = 0.0
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            ways = math.comb(n, gained) * math.comb(n - gained, lost)
            chance = ways * gain**gained * loss**lost * (1 - psi) ** (n - gained - lost)
            if gained + lost and binomtest(gained, gained + lost).pvalue < 0.05:
                expected += chance
    assert power(n, difference, psi) == pytest.approx(expected)


def test_what_is_detectable_is_just_told_and_a_little_less_is_not() -> None:
    found = detectable(200, 0.3)
    assert power(200, found, 0.3) >= 0.8 > power(200, found - 0.001, 0.3)
    assert detectable(4, 0.3) == 1.0


def test_what_is_needed_is_told_and_far_fewer_are_not() -> None:
    found = needed(-0.05, 0.2)
    assert found is not None
    assert power(found, 0.05, 0.2) >= 0.8 > power(found * 9 // 10, 0.05, 0.2)
    assert needed(1e-4, 0.5) is None


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize(("right", "n"), [(0, 24), (24, 24), (7, 24), (0, 1), (113, 200)])
def test_wilsons_interval_is_where_the_score_test_rejects(right: int, n: int) -> None:
    low, high = wilson(right / n, n)
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(right / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.959964)
    assert low <= right / n <= high
    assert standard_error(right / n, n) > 0


def test_a_difference_too_small_to_be_told_takes_no_number_of_questions() -> None:
    assert needed(1e-8, 0.0) is None
    assert needed(4e-5, 0.3) is None
    assert needed(0.0002, 0.5) is None
