"""Selections: limits take the first questions, fractions are nested."""

from hypothesis import given
from hypothesis import strategies as st

from sitkit.components import Selection
from sitkit.types import Question


def _questions(count: int) -> list[Question]:
    return [Question(f"q{index}", "b", "number", "i", "q", None, "1") for index in range(count)]


@given(st.integers(4, 60), st.integers(0, 5), st.floats(0.3, 1), st.floats(0.3, 1))
def test_a_smaller_fraction_is_within_a_larger_one_and_order_is_kept(count: int, seed: int, a: float, b: float) -> None:
    questions = _questions(count)
    small, large = (Selection(None, fraction, seed).apply(questions) for fraction in sorted((a, b)))
    assert {question.id for question in small} <= {question.id for question in large}
    assert [q for q in questions if q in large] == large


def test_a_quarter_is_a_quarter_and_seeds_differ() -> None:
    questions = _questions(100)
    first, second = (Selection(40, 0.25, seed).apply(questions) for seed in (0, 1))
    assert len(first) == len(second) == 10
    assert first != second
    assert all(question in questions[:40] for question in first)


def test_the_seed_counts_only_where_it_changes_anything() -> None:
    assert Selection(3, 1.0, 1).material() == Selection(3, 1.0, 2).material()
    assert Selection(3, 0.5, 1).material() != Selection(3, 0.5, 2).material()
