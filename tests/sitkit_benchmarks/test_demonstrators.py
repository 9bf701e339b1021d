"""The teachers that need no model: a benchmark's own solutions, and a file."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sitkit.answers import is_correct
from sitkit.errors import DataError, SpecError
from sitkit.registry import load_plugins
from sitkit.spec import parse_spec
from sitkit.types import Generation, Question, Teacher

GENERATION = Generation(max_new_tokens=16)


def question(number: int, *, benchmark: str = "one", solution: str | None = None) -> Question:
    return Question(
        f"{number}", benchmark, "number", "Answer.", f"What is {number} + 1?", None, f"{number + 1}", solution
    )


def teacher(spec: str) -> Teacher:
    return load_plugins().teacher(parse_spec(spec))


def write(path: Path, rows: list[Any]) -> Path:
    lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def test_gold_answers_with_the_solutions() -> None:
    asked = [question(1, solution="1 + 1 = 2. The answer is 2."), question(2)]
    answers = list(teacher("gold").answer(asked, "cot", GENERATION))
    assert answers == [("1", "1 + 1 = 2. The answer is 2."), ("2", "The answer is 3.")]
    assert all(is_correct(one, text) for one, (_, text) in zip(asked, answers, strict=True))
    assert list(teacher("gold").answer(asked, "direct", GENERATION)) == [("1", "2"), ("2", "3")]


def test_gold_says_where_there_is_no_reasoning_to_learn_from(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sitkit.notices"):
        list(teacher("gold").answer([question(1)], "cot", GENERATION))
    assert "one has questions without a worked solution" in caplog.text


@pytest.mark.parametrize("name", ["demos.jsonl", "demos.jsonl.gz"])
def test_a_file_answers_by_id_question_or_prompt(tmp_path: Path, name: str) -> None:
    rows = [
        {"question_id": "1", "completion": " by id "},
        {"question": "What is  2 + 1?\n", "completion": "by question"},
        {"prompt": question(3).prompt("cot"), "completion": "by prompt", "teacher": "x"},
        {"question_id": "1", "completion": "a second answer"},
        {"question_id": "unknown", "completion": "of another set"},
    ]
    asked = [question(number) for number in (1, 2, 3, 4)]
    made = teacher(f"file:{write(tmp_path / name, rows)}")
    answers = list(made.answer(asked, "cot", GENERATION))
    assert answers == [("1", "by id"), ("2", "by question"), ("3", "by prompt")]


def test_a_file_with_a_benchmark_field_answers_that_benchmark_alone(tmp_path: Path) -> None:
    rows = [
        {"benchmark": "one", "question_id": "1", "completion": "first"},
        {"benchmark": "two", "question_id": "1", "completion": "second"},
    ]
    made = teacher(f"file:{write(tmp_path / 'demos.jsonl', rows)}")
    assert list(made.answer([question(1, benchmark="two")], "cot", GENERATION)) == [("1", "second")]
    assert list(made.answer([question(1, benchmark="three")], "cot", GENERATION)) == []


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"completion": "x"}, "question_id, question, prompt"),
        ({"question_id": "2"}, "'completion' is missing"),
        ({"question_id": "2", "completion": None}, "'completion' is missing"),
        ({"question_id": "2", "completion": ["x"]}, "'completion': expected text, got list"),
        ({"question_id": 2, "completion": "x"}, "'question_id': expected text, got int"),
        ({"question_id": "2", "completion": "  "}, "'completion': it is empty"),
        (
            {"question_id": "2", "completion": "so \ud83d."},
            "it holds half a surrogate pair, \\ud83d, at 4",
        ),
        ({"question_id": "2", "completion": "x", "prompting": "no"}, "'prompting': expected one of direct, cot"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: Any, named: str) -> None:
    path = write(tmp_path / "demos.jsonl", [{"question_id": "1", "completion": "x"}, row])
    with pytest.raises(DataError) as caught:
        list(teacher(f"file:{path}").answer([question(1)], "cot", GENERATION))
    assert f"{path}, line 2" in str(caught.value)
    assert named in str(caught.value)


def test_bad_files_and_specs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        teacher(f"file:{tmp_path / 'none.jsonl'}")
    with pytest.raises(SpecError, match="path"):
        teacher("file")
    with pytest.raises(SpecError, match="takes no argument"):
        teacher("gold:x")


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", [{"question_id": "1", "completion": "x"}])
    second = write(tmp_path / "b.jsonl", [{"question_id": "1", "completion": "x"}])
    assert teacher(f"file:{first}").fingerprint() == teacher(f"file:{second}").fingerprint()
    write(second, [{"question_id": "1", "completion": "y"}])
    assert teacher(f"file:{first}").fingerprint() != teacher(f"file:{second}").fingerprint()


def test_a_file_may_name_a_benchmark_by_its_short_name(tmp_path: Path) -> None:
    rows = [{"question_id": "1", "benchmark": "obqa", "completion": "found"}]
    made = teacher(f"file:{write(tmp_path / 'demos.jsonl', rows)}")
    assert list(made.answer([question(1, benchmark="openbookqa")], "cot", GENERATION)) == [("1", "found")]
    assert list(made.answer([question(1, benchmark="piqa")], "cot", GENERATION)) == []


def test_reasoning_is_not_handed_on_as_the_direct_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"question_id": "1", "completion": "step by step: 2"},
        {"question_id": "1", "completion": "2", "prompting": "direct"},
        {"question_id": "2", "completion": "step by step: 3"},
        {"question_id": "3", "completion": "4", "prompt": question(3).prompt("direct")},
        {"question_id": "4", "completion": "step by step: 5", "prompt": question(4).prompt("cot")},
        {"prompt": question(5).prompt("direct"), "completion": "6"},
    ]
    asked = [question(number) for number in (1, 2, 3, 4, 5)]
    made = teacher(f"file:{write(tmp_path / 'demos.jsonl', rows)}")
    with caplog.at_level(logging.WARNING, logger="sitkit.notices"):
        steps = list(made.answer(asked, "cot", GENERATION))
    assert steps == [("1", "step by step: 2"), ("2", "step by step: 3"), ("4", "step by step: 5")]
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING, logger="sitkit.notices"):
        assert list(made.answer(asked, "direct", GENERATION)) == [("1", "2"), ("3", "4"), ("5", "6")]
    assert "2 of 5 questions are left unanswered with direct prompting" in caplog.text


def test_a_row_nested_without_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "demos.jsonl"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not valid JSON"):
        list(teacher(f"file:{path}").answer([question(1)], "cot", GENERATION))
