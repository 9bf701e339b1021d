"""The real files: every row parses, counts and balance are the paper's, repeated questions those known of the sets."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from sitkit.cli.main import run
from sitkit.registry import load_plugins
from tests.sitkit_benchmarks.real_data import DATA, NAMES, needs_data

pytestmark = needs_data

ROWS = {
    "openbookqa": (4957, 4000, 500),
    "commonsense_qa": (9741, 4000, 1221),
    "piqa": (16113, 4000, 1838),
    "social_i_qa": (33410, 3990, 1954),
    "gsm8k": (7473, 7473, 1319),
    "multiarith": (420, 420, 180),
    "math": (7498, 1876, 5000),  # 7500 less two without an answer
    "mmlu": (14042, 3519, 10523),
}
"""Rows of the source's train split with an answer, drawn to train on, tested on."""

CLASSES = {
    "openbookqa": ({"A": 126, "B": 138, "C": 110, "D": 126}, False),
    "commonsense_qa": ({"A": 239, "B": 255, "C": 241, "D": 251, "E": 235}, False),
    "piqa": ({"A": 910, "B": 928}, True),
    "social_i_qa": ({"A": 643, "B": 654, "C": 657}, True),
}
"""Test rows by class, and whether the paper's Table 8 holds within its own tolerance."""

REPEATED: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int] | None]] = {
    "openbookqa": ((129, 43), (1, 0), (12, 7)),
    "commonsense_qa": ((1, 0), (0, 0), (0, 0)),
    "piqa": ((1328, 7), (37, 0), (197, 2)),
    "social_i_qa": ((406, 189), (24, 24), (0, 0)),
    "gsm8k": ((0, 0), (0, 0), (0, 0)),
    "multiarith": ((12, 12), (2, 2), (6, 6)),
    "math": ((2, 2), (0, 0), (2, 2)),
    "mmlu": ((176, 106), (176, 106), None),
}
"""Surplus rows in train, in test, test rows also in train; by question alone and with options (whole splits)."""


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    from sitkit.survey import survey

    registry = load_plugins()
    return {name: survey(name, registry.benchmark(name, DATA), seed=0) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_classes_are_the_paper_s(counted: dict[str, Any], name: str) -> None:
    train, test = counted[name]["splits"]["train"], counted[name]["splits"]["test"]
    assert (train["source"]["rows"], train["rows"], test["rows"]) == ROWS[name]
    if name in CLASSES:
        classes, holds = CLASSES[name]
        assert set(train["per_class"].values()) == {train["rows"] // len(classes)}
        assert train["agrees_with_paper"] is True
        assert test["per_class"] == classes
        assert test["agrees_with_paper"] is holds


def test_table_8_differs_on_gsm8k_and_agrees_on_multiarith(counted: dict[str, Any]) -> None:
    agrees = {
        (name, split): counted[name]["splits"][split]["agrees_with_paper"]
        for name in ("gsm8k", "multiarith", "math", "mmlu")
        for split in ("train", "test")
    }
    assert {key for key, value in agrees.items() if value is False} == {("gsm8k", "train"), ("gsm8k", "test")}
    assert {key[0] for key, value in agrees.items() if value is None} == {"math", "mmlu"}


@pytest.mark.parametrize("name", NAMES)
def test_repeated_questions_are_those_known_of_the_sets(counted: dict[str, Any], name: str) -> None:
    def pair(counts: Any) -> tuple[int, int] | None:
        return None if counts is None else (counts["question"], counts["with_options"])

    train, test = (counted[name]["splits"][split]["source"] for split in ("train", "test"))
    assert (pair(train["repeated"]), pair(test["repeated"]), pair(test.get("also_in_train"))) == REPEATED[name]


@pytest.mark.parametrize("name", ["openbookqa", "piqa", "multiarith", "math", "mmlu"])
def test_nothing_drawn_without_duplicates_stands_in_the_test(name: str) -> None:
    made: Any = load_plugins().benchmark(name, DATA)
    clean = made.without_duplicates()
    tested = {made.identity(one) for one in made.questions("test", 0)}
    leaked = sum(made.identity(one) in tested for one in made.questions("train", 0))
    train = clean.questions("train", 0)
    assert not tested & {made.identity(one) for one in train}
    # Classes are filled up from the rest; sets taken as they are lose the rows.
    assert len(train) == ROWS[name][1] - (0 if name in CLASSES else leaked)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_quarter_of_mmlu_is_trained_on_by_subject_and_never_tested_on(seed: int) -> None:
    made: Any = load_plugins().benchmark("mmlu", DATA)
    train, test = made.questions("train", seed), made.questions("test", seed)
    every = {one.id for one in made.pool("test")}
    assert {one.id for one in train} | {one.id for one in test} == every
    assert len(train) + len(test) == len(every)
    for subject in ("anatomy", "professional_law"):
        drawn, left = len(made.subset("train", seed, subset := subject)), len(made.subset("test", seed, subset))
        assert abs(drawn - (drawn + left) / 4) <= 0.5


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("name", "groups"), [("mmlu", 57), ("math", 7)])
def test_the_first_rows_of_sorted_sets_are_a_fair_sample(name: str, groups: int, split: Any) -> None:
    made: Any = load_plugins().benchmark(name, DATA)
    group_of = {item.question.id: item.group for item in made._load(split)}
    questions = made.questions(split, 0)
    everywhere = Counter(group_of[one.id] for one in questions)
    first = Counter(group_of[one.id] for one in questions[:400])
    assert len(everywhere) == groups
    # Chi-squared over groups: its mean is groups - 1, its standard deviation sqrt(2 (groups - 1)).
    expected = {group: 400 * size / len(questions) for group, size in everywhere.items()}
    distance = sum((first[group] - count) ** 2 / count for group, count in expected.items())
    assert distance < (groups - 1) + 4 * (2 * (groups - 1)) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_over_both_splits(name: str) -> None:
    made = load_plugins().benchmark(name, DATA)
    ids = [one.id for split in ("train", "test") for one in made.questions(split, 3)]  # type: ignore[arg-type]
    assert len(set(ids)) == len(ids)


def test_the_command_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "obqa", "gsm8k", "--data-dir", str(DATA), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["benchmark"] for one in found] == ["obqa", "gsm8k"]
    assert found[0]["splits"]["test"]["also_in_train"]["with_options"] == 7
    assert run(["data", "obqa", "--data-dir", str(DATA), "--drop-duplicates"]) == 0
    shown = capsys.readouterr().out
    assert "8 / 0" in shown
    assert "4 x 1000" in shown
    assert "A 126 B 138 C 110 D 126" in shown
    assert "125 ± 8 a class" in shown
