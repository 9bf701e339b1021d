"""The paper's figures as shipped: complete, equal to the checked transcription, and matched by a model's name."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from sitkit_paper.claims import statements
from sitkit_paper.evidence import paper_falls
from sitkit_paper.printed import Figure, Match, family, match_student, match_teacher, paper

CHECKED = Path(__file__).parents[2].parent / "shared" / "paper"
needs_checked = pytest.mark.skipif(not CHECKED.is_dir(), reason="the checked transcription is not beside the checkout")
ROLES = {"instruction_tuning": "instruct", "self_refine": "refine", "cross_self_refine": "cross"}


def _checked(name: str) -> Any:
    return json.loads((CHECKED / name).read_text(encoding="utf-8"))


def test_every_cell_of_the_three_student_tables_is_there() -> None:
    source = paper()
    assert [(one.name, one.table) for one in source.students] == [
        ("Llama-2-7", 1), ("Llama-2-13", 10), ("Mistral-7", 11),
    ]  # fmt: skip
    # 2 baselines, 6 x 6 instructed, 6 x 6 refined, 6 x 5 crossed.
    assert {len(one.scores) for one in source.students} == {12 + 36 + 36 + 30}
    assert source.student("Llama-2-7").scores["cross", "openbookqa", "multiarith"] == Figure(83.2, 0.2)
    assert source.student("Mistral-7").scores["instruct", "gsm8k", "multiarith"] == Figure(65.2, None)
    assert len(source.teachers) == 3 * 2 * 2 * 6
    # Sums of the printed figures, so that a slip of a digit shows without the transcription at hand.
    assert [round(sum(figure.mean for figure in one.scores.values()), 1) for one in source.students] == [
        7457.7, 7590.8, 7569.8,
    ]  # fmt: skip
    assert round(sum(figure.mean for figure in source.teachers.values()), 1) == 5650.0
    assert round(sum(source.judged.students.values()), 2) == 38.01


def test_instructing_falls_below_the_baseline_in_half_of_the_papers_cells() -> None:
    assert paper_falls() == (53, 108)


def test_the_data_lie_in_the_package_and_name_their_source() -> None:
    for name in ("tables.json", "claims.json"):
        content = json.loads(files("sitkit_paper").joinpath(name).read_text(encoding="utf-8"))
        assert content["source"]["arxiv"] == "2405.00402"


@needs_checked
def test_students_and_teachers_are_those_of_the_checked_tables() -> None:
    tables, source = _checked("tables.json"), paper()
    here = {one.name: one.benchmark for one in source.tasks.values()}
    for key in ("table_1", "table_10", "table_11"):
        student = source.student(tables[key]["student"])
        expected = {
            (ROLES.get(row["method"], row["method"]), here.get(row["trained_on"], ""), here[task]): (
                cell["mean"], cell["std"],
            )
            for row in tables[key]["rows"]
            for task, cell in row["scores"].items()
            if cell is not None
        }  # fmt: skip
        assert {place: (figure.mean, figure.spread) for place, figure in student.scores.items()} == expected
        assert (student.table, student.teacher) == (tables[key]["table"], tables[key]["teacher"])
    asked = {"direct": "baseline", "cot": "cot"}
    for (teacher, split, prompting, benchmark), figure in source.teachers.items():
        cell = tables["table_5"]["splits"][split][source.tasks[benchmark].name][teacher][asked[prompting]]
        assert (figure.mean, figure.spread) == (cell["mean"], cell["std"])


@needs_checked
def test_ratings_are_those_of_the_checked_tables() -> None:
    tables, judged = _checked("tables.json"), paper().judged
    names = {"direct": "Baseline", "cot": "Baseline CoT", "target": "Target Answers"}
    assert judged.teachers == {
        (teacher, what): tables["table_13"]["rows"][name][teacher]
        for teacher in paper().teacher_names
        for what, name in names.items()
    }
    expected = {}
    for row in tables["table_14"]["rows"]:
        family_of = {None: "", "in-family": "in-family"}.get(row["setting"], "out-family")
        for student, rating in row["scores"].items():
            expected[student, ROLES.get(row["method"], row["method"]), family_of] = rating
    assert judged.students == expected


@needs_checked
def test_claims_are_in_words_of_our_own() -> None:
    theirs = {one["id"]: one for one in _checked("claims.json")["claims"]}
    assert {one.id for one in statements()} == set(theirs)
    for one in statements():
        assert one.text not in (theirs[one.id]["statement"], theirs[one.id]["paper_says"])
        assert one.said == (theirs[one.id]["kind"] == "text")


@pytest.mark.parametrize(
    ("spec", "name", "exact"),
    [
        ("hf:meta-llama/Llama-2-7b-chat-hf", "Llama-2-7", True),
        ("hf:/models/llama2-13b,quantize=4bit", "Llama-2-13", True),
        ("hf:mistralai/Mistral-7B-Instruct-v0.2", "Mistral-7", True),
        ("hf:meta-llama/Llama-3.1-8B", "Llama-2-7", False),
        ("hf:meta-llama/Llama-2-70b-hf", "Llama-2-13", False),
        ("hf:mistralai/Mixtral-8x7B-v0.1", "Mistral-7", False),
        ("hf:TinyLlama/TinyLlama-1.1B", "Llama-2-7", False),
        ("tiny", "Llama-2-7", False),
        ("tiny,note=mistral-7b", "Llama-2-7", False),
    ],
)
def test_a_student_is_matched_by_its_name(spec: str, name: str, exact: bool) -> None:
    match = match_student(spec)
    assert (match.name, match.why == "") == (name, exact)


@pytest.mark.parametrize(
    ("spec", "name", "exact"),
    [
        ("openai:gpt-3.5-turbo-0125,base_url=https://llama.example", "GPT-3.5", True),
        ("openai:gpt-4o", "GPT-3.5", False),
        ("hf:meta-llama/Llama-2-70b-chat-hf", "Llama-2-70", True),
        ("hf:meta-llama/Llama-2-7b-chat-hf", "Llama-2-70", False),
        ("openai:mixtral-8x7b-instruct", "Mixtral7x8", True),
        ("gold", "Llama-2-70", False),
    ],
)
def test_a_teacher_is_matched_by_its_name(spec: str, name: str, exact: bool) -> None:
    match = match_teacher(spec)
    assert (match.name, match.why == "") == (name, exact)


def test_the_papers_own_names_match_themselves() -> None:
    assert [match_teacher(name).name for name in paper().teacher_names] == list(paper().teacher_names)
    assert match_student("hf:mistral-7b") == Match("Mistral-7")
    assert (family("openai:gpt-4o"), family("hf:mixtral"), family("gold")) == ("gpt", "mistral", None)
