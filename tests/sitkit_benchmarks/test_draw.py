"""Which rows are drawn: balanced, stratified, the same everywhere, never from the test, fair from the first row on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.registry import load_plugins
from sitkit.types import Question
from sitkit_benchmarks.draw import Balanced, Item, Mixed, Share


def items(groups: Sequence[str]) -> list[Item]:
    return [
        Item(Question(f"s/{at}", "s", "choice", "I", f"q{at}", ("x", "y"), "A"), group)
        for at, group in enumerate(groups)
    ]


def keep(item: Item) -> bool:
    return False


GROUPS = st.lists(st.sampled_from("ABC"), min_size=1, max_size=60).map(items)


@given(GROUPS, st.integers(1, 12), st.integers(0, 5))
def test_balanced_draws_are_balanced_at_every_prefix(rows: list[Item], per_class: int, seed: int) -> None:
    drawn = Balanced(per_class).take(rows, seed, keep)
    sizes = Counter(item.group for item in rows)
    assert Counter(item.group for item in drawn) == dict.fromkeys(sizes, min(per_class, *sizes.values()))
    assert len({item.question.id for item in drawn}) == len(drawn)
    for end in range(len(drawn)):
        counts = Counter(item.group for item in drawn[:end])
        assert max(counts.values(), default=0) - min((counts[group] for group in sizes), default=0) <= 1


@given(GROUPS, st.integers(0, 5))
def test_a_share_and_its_rest_are_every_row_once(rows: list[Item], seed: int) -> None:
    share, rest = (Share(0.25, rest=rest).take(rows, seed, keep) for rest in (False, True))
    assert sorted(item.question.id for item in share + rest) == sorted(item.question.id for item in rows)
    for group, size in Counter(item.group for item in rows).items():
        assert abs(sum(item.group == group for item in share) - size / 4) <= 0.5


@given(GROUPS, st.integers(0, 5), st.permutations([0, 1, 2]))
def test_a_draw_does_not_depend_on_the_order_of_the_source(rows: list[Item], seed: int, order: list[int]) -> None:
    others = [item for rest in order for item in rows[rest::3]]
    for draw in (Balanced(4), Share(0.25), Share(0.25, rest=True), Mixed()):
        assert draw.take(rows, seed, keep) == draw.take(others, seed, keep)


def test_a_draw_is_the_same_on_every_machine() -> None:
    """Written down once: a change of these changes what everybody's stored runs were trained on."""
    rows = items("AAAABBBBCCCC")
    assert [item.question.id for item in Balanced(2).take(rows, 0, keep)] == EXPECTED_BALANCED
    assert [item.question.id for item in Share(0.25).take(rows, 0, keep)] == EXPECTED_SHARE


EXPECTED_BALANCED = ["s/8", "s/0", "s/4", "s/10", "s/1", "s/6"]
EXPECTED_SHARE = ["s/8", "s/4", "s/0"]


def test_seeds_draw_differently() -> None:
    rows = items("AB" * 50)
    for draw in (Balanced(10), Share(0.25)):
        assert draw.take(rows, 0, keep) != draw.take(rows, 1, keep)
    assert Mixed().take(rows, 0, keep) == Mixed().take(rows, 1, keep)


def test_unwanted_rows_are_replaced_in_a_balanced_draw_and_missing_in_a_share() -> None:
    rows = items("A" * 8 + "B" * 8)
    bad = {item.question.id for item in Balanced(2).take(rows, 0, keep)}
    again = Balanced(2).take(rows, 0, lambda item: item.question.id in bad)
    assert Counter(item.group for item in again) == {"A": 2, "B": 2}
    assert bad.isdisjoint(item.question.id for item in again)
    bad = {Share(0.25).take(rows, 0, keep)[0].question.id}
    assert len(Share(0.25).take(rows, 0, lambda item: item.question.id in bad)) == 3


def write(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def openbook(stem: str, key: str, options: Sequence[str] = ("w", "x", "y", "z")) -> dict[str, Any]:
    return {"question_stem": stem, "choices": {"text": list(options), "label": list("ABCD")}, "answerKey": key}


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Training rows of which one stands in the test as well, and one with the same question but other options."""
    train = [openbook(f"stem {at}", "ABCD"[at % 4]) for at in range(12)]
    tested = [openbook("STEM, 4!", "A", ("z", "y", "x", "W")), openbook("stem 5", "B", ("1", "2", "3", "4"))]
    write(tmp_path / "openbookqa/train.jsonl", train)
    write(tmp_path / "openbookqa/validation.jsonl", tested)
    return tmp_path


def test_leaked_training_questions_are_dropped_options_included(leaky: Path) -> None:
    made: Any = load_plugins().benchmark("openbookqa", leaky)
    clean = made.without_duplicates()
    assert "stem 4" in {one.question for one in made.questions("train", 0)}
    drawn = [one.question for one in clean.questions("train", 0)]
    assert "stem 4" not in drawn
    assert "stem 5" in drawn
    assert len(drawn) == 8  # two of each class: class A has two left
    assert clean.questions("test", 0) == made.questions("test", 0)
    assert clean.fingerprint("train", 0) != made.fingerprint("train", 0)
    assert clean.fingerprint("test", 0) == made.fingerprint("test", 0)


def test_fingerprints_hold_the_seed_only_where_it_changes_questions(tmp_path: Path) -> None:
    registry = load_plugins()
    changed = {
        (name, split)
        for name in ("openbookqa", "commonsense_qa", "piqa", "social_i_qa", "gsm8k", "multiarith", "math", "mmlu")
        for split in ("train", "test")
        if registry.benchmark(name).fingerprint(split, 0) != registry.benchmark(name).fingerprint(split, 1)  # type: ignore[arg-type]
    }
    seeded = {(name, "train") for name in ("openbookqa", "commonsense_qa", "piqa", "social_i_qa", "math", "mmlu")}
    assert changed == seeded | {("mmlu", "test")}
