"""Each data set's rows become questions and prompts as written out by hand; a wrong row is named."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import DataError
from sitkit.registry import load_plugins
from sitkit.types import Benchmark
from tests.sitkit_benchmarks.examples import PROMPTS, ROWS, TARGETS, write_data_dir

ALIASES = {"obqa": "openbookqa", "csqa": "commonsense_qa", "siqa": "social_i_qa", "hendrycks_math": "math"}


def benchmark(name: str, data_dir: Path | None) -> Benchmark:
    return load_plugins().benchmark(name, data_dir)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_becomes_the_prompt_written_out_by_hand(tmp_path: Path, name: str) -> None:
    # MMLU trains on a quarter of its rows: of one row, none.
    (question,) = benchmark(name, write_data_dir(tmp_path)).questions("test", 0)
    assert question.prompt("direct") == PROMPTS[name]
    assert question.prompt("cot") == f"{PROMPTS[name]} Let's think step by step"
    assert question.target == TARGETS[name]
    assert question.benchmark == name
    assert question.id == f"{name}/{ROWS[name][1]}/0"


def test_domains() -> None:
    registry = load_plugins()
    math = {name for name in PROMPTS if registry.benchmark(name).domain == "math"}
    assert math == {"gsm8k", "multiarith", "math"}
    assert {registry.benchmark(name).domain for name in set(PROMPTS) - math} == {"qa"}


@pytest.mark.parametrize(("short", "name"), ALIASES.items())
def test_a_short_name_is_the_same_benchmark(tmp_path: Path, short: str, name: str) -> None:
    write_data_dir(tmp_path)
    one, other = benchmark(short, tmp_path), benchmark(name, tmp_path)
    (first,), (second,) = one.questions("test", 0), other.questions("test", 0)
    assert first == second
    assert first.benchmark == name
    assert one.task("cot") == other.task("cot")
    assert one.fingerprint("test", 0) == other.fingerprint("test", 0)


def test_only_math_and_gsm8k_have_worked_solutions(tmp_path: Path) -> None:
    write_data_dir(tmp_path)
    solved = {name for name in ROWS if benchmark(name, tmp_path).questions("test", 0)[0].solution}
    assert solved == {"gsm8k", "math"}
    assert benchmark("math", tmp_path).questions("test", 0)[0].solution == ROWS["math"][2]["solution"]


WRONG: list[tuple[str, str, Any, list[str]]] = [
    ("openbookqa", "answerKey", "E", ["'answerKey'", "A, B, C, D", "'E'"]),
    ("openbookqa", "answerKey", None, ["'answerKey'", "missing"]),
    ("openbookqa", "choices", {"text": ["a", "b"]}, ["'choices.label'", "missing"]),
    ("openbookqa", "choices", {"text": ["a", "b"], "label": ["1", "2"]}, ["'choices.label'", "A, B", "1, 2"]),
    ("openbookqa", "choices", {"text": ["a", " "], "label": ["A", "B"]}, ["'choices.text[1]'", "empty"]),
    ("openbookqa", "choices", {"text": "ab", "label": ["A", "B"]}, ["'choices.text'", "list", "str"]),
    ("openbookqa", "choices", ["a", "b"], ["'choices.text'", "missing"]),
    ("commonsense_qa", "answerKey", "", ["'answerKey'", "empty"]),
    ("commonsense_qa", "question", 7, ["'question'", "int"]),
    ("piqa", "label", -1, ["'label'", "0 to 1", "-1"]),
    ("piqa", "label", True, ["'label'", "True"]),
    ("piqa", "sol2", " ", ["'sol2'", "empty"]),
    ("social_i_qa", "label", "4", ["'label'", "1 to 3", "got 4"]),
    ("social_i_qa", "label", "0", ["'label'", "1 to 3"]),
    ("social_i_qa", "context", None, ["'context'", "missing"]),
    ("math", "solution", "It is 5.", ["'solution'", "boxed"]),
    ("math", "type", None, ["'type'", "missing"]),
    ("mmlu", "answer", 4, ["'answer'", "0 to 3"]),
    ("mmlu", "choices", ["one"], ["'choices'", "2 to 26"]),
    ("mmlu", "subject", None, ["'subject'", "missing"]),
]


@pytest.mark.parametrize(("name", "field", "value", "said"), WRONG)
def test_a_wrong_row_is_named_by_file_line_and_field(
    tmp_path: Path, name: str, field: str, value: Any, said: list[str]
) -> None:
    folder, split, good = ROWS[name]
    wrong = deepcopy(good) | {field: value}
    path = tmp_path / folder / f"{split}.jsonl"
    path.parent.mkdir()
    path.write_text(f"{json.dumps(good)}\n\n{json.dumps(wrong)}\n")
    with pytest.raises(DataError) as caught:
        benchmark(name, tmp_path).questions("test", 0)
    for part in [f"{path}, line 3", *said]:
        assert part in str(caught.value)


def test_a_math_row_with_an_empty_box_is_left_out_and_the_others_keep_their_ids(tmp_path: Path) -> None:
    empty = ROWS["math"][2] | {"solution": "So there are $\\boxed{}$ of them."}
    folder = tmp_path / "hendrycks_math"
    folder.mkdir()
    (folder / "test.jsonl").write_text(f"{json.dumps(empty)}\n{json.dumps(ROWS['math'][2])}\n")
    assert [one.id for one in benchmark("math", tmp_path).questions("test", 0)] == ["math/test/1"]


@pytest.mark.parametrize("name", ROWS)
def test_the_hub_is_pinned_and_loads_nothing_for_a_fingerprint(name: str) -> None:
    found = benchmark(name, None).fingerprint("test", 0)
    assert len(found["revision"]) == 40
    assert found["hub"].count("/") == 1
    assert found["split"] == ROWS[name][1]


def test_the_paper_s_counts_are_table_8(tmp_path: Path) -> None:
    counts = {name: [benchmark(name, None).paper(split) for split in ("train", "test")] for name in ROWS}  # type: ignore[attr-defined]
    assert counts["openbookqa"] == [{"per_class": 1000}, {"per_class": 125, "tolerance": 8}]
    assert counts["gsm8k"] == [{"rows": 4000}, {"rows": 1318}]
    assert counts["math"] == counts["mmlu"] == [{}, {}]
