"""What questions overlap, as runs and `sitkit data` tell it, and what is left out of training for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.cli.main import run
from sitkit.components import QuestionSet
from sitkit.execution.here_executor import run_plan
from sitkit.overlap import overlaps
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry, load_plugins
from sitkit.report.tables import overlap_tables
from sitkit.report.warnings import warnings_of
from sitkit.results.build import build_results
from sitkit.results.model import decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.store import Store
from sitkit.types import Question

LONG = "A farmer walks 3 miles to the market, sells all of his eggs, and walks back home before dark."


def asked(text: str, name: str = "q", *, choices: tuple[str, ...] | None = None, benchmark: str = "one") -> Question:
    return Question(name, benchmark, "number" if choices is None else "choice", "Answer.", text, choices, "A")


@pytest.mark.parametrize(
    ("trained", "scored", "words"),
    [
        # 18 words each; from the second on they are the same.
        (LONG, "The " + LONG.partition(" ")[2].upper().replace(",", " --"), "farmer walks 3 miles to the market sells"),
        # A number is a word, and another one makes another question of 13 words.
        (LONG, LONG.replace("3", "5"), "miles to the market sells all of his eggs and walks back home"),
        ("What turns water to ice?", "what turns WATER to ice", "what turns water to ice"),
        ("ﬁve cups", "five cups", "five cups"),
        # Short ones overlap as a whole alone.
        ("What turns water to ice?", "What turns water to ice, slowly?", None),
        ("What turns water to ice?", f"What turns water to ice? {LONG}", None),
    ],
)
def test_questions_overlap_by_words_in_a_row(trained: str, scored: str, words: str | None) -> None:
    found = overlaps([asked(trained)], [asked(scored, benchmark="two")])
    assert [one.words[: len(words or "")] for one in found] == ([] if words is None else [words])


def test_options_are_words_too() -> None:
    red = asked("Which?", choices=("red", "blue"))
    assert overlaps([red], [replace(red, id="r", choices=("red", "blue"))])
    assert not overlaps([red], [replace(red, id="r", choices=("red", "green"))])


def test_how_a_set_puts_its_questions_tells_nothing_of_any_of_them() -> None:
    form = "Which of these words is the one that a person who has never been at sea would know: {}"
    some = [asked(form.format(f"w{n}"), f"t{n}") for n in range(9)]
    (new,) = scored = [asked(form.format("new"), "s")]
    assert [len(one.trained) for one in overlaps(some, scored)] == [9]
    more = [*some, asked(form.format("w10"), "t10")]
    assert not overlaps(more, scored)
    assert [one.trained for one in overlaps([*more, replace(new, id="same")], scored)] == [(replace(new, id="same"),)]


def write(path: Path, questions: list[str]) -> Path:
    path.write_text("".join(json.dumps({"question": text, "answer": 7}) + "\n" for text in questions))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two own sets that share a question but for its beginning."""
    shared = "the farmer of the village walks 3 miles to the market and sells all of his eggs before dark"
    trained = [f"Monday: {shared}. How many are left?", "How many letters has seven?", "How many days has a week?"]
    scored = [f"Once {shared}. How many, then?", "How many seas are there?"]
    return write(tmp_path / "learn.jsonl", trained), write(tmp_path / "ask.jsonl", scored)


def plan(registry: Registry, files: tuple[Path, Path], **more: Any) -> Plan:
    recipe = Recipe(
        train_on=(f"file:{files[0]}",),
        eval_on=(f"file:{files[1]}",),
        teacher=("gold",),
        student=("tiny",),
        strategy="dpo-cot",
        **more,
    )
    return build_plan(recipe, registry)


def trained_on(made: Plan) -> list[str]:
    (found,) = {id(one): one for one in made.question_sets if one.split == "train"}.values()
    return [question.question[:8] for question in found.questions]


def test_contaminated_questions_are_left_out_and_keys_move_only_where_any_is(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    registry = load_plugins()
    whole, dropped = (plan(registry, files, drop_contaminated=drop) for drop in (False, True))
    assert trained_on(whole) == ["Monday: ", "How many", "How many"]
    assert trained_on(dropped) == ["How many", "How many"]
    longer = plan(registry, files, drop_contaminated=True, ngram=40)
    assert trained_on(longer) == trained_on(whole)
    assert [node.key for node in longer.nodes] == [node.key for node in whole.nodes]
    assert not {node.key for node in dropped.nodes if node.stage.name == "annotate"} & set(whole.by_key)
    from sitkit.own_questions import left_out

    assert left_out(dropped.question_sets) == [
        "learn: 1 training questions overlap with questions that are scored and were left out"
    ]


def test_a_run_tells_them_and_the_scores_without(example: Registry, tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        "teacher": ("speller",),
        "student": ("counter",),
        "strategy": "spelled-first",
        "train_on": ("letters",),
    }
    made = build_plan(Recipe(**parts, ngram=7), example)
    outcome = run_plan(made, Store(tmp_path), example, lambda event: None)
    results = build_results(made, outcome, StoredRows(tmp_path))
    assert not results.contamination, "seven words stand in all of them"
    # The very words of two training questions are asked again.
    sets = [one for one in made.question_sets if one.split == "train"]
    first, second = (one for one in made.question_sets if one.split == "test").__next__().questions[:2]
    sets[0].questions[:2] = [replace(first, id="train-x"), replace(second, id="train-y")]
    results = build_results(made, outcome, StoredRows(tmp_path))
    (found,) = results.contamination
    assert (found.benchmark, found.trained, found.n, found.ngram) == ("letters", ("letters",), 14, 7)
    assert found.questions == (first.id, second.id)
    assert {score.n for score in found.scores} == {12}
    last = found.scores[-1]
    # Hat and oak are right from the start.
    right = round(results.cells[last.cell].value * 14)
    assert last.value == pytest.approx((right - 2) / 12)
    (table,) = overlap_tables(results)
    assert [row[3] for row in table.rows] == ["2"] * 6
    assert "letters 2 of 14, with letters: test-hat, test-oak" in table.note
    assert any("letters 2 of 14 (with letters); --drop-contaminated leaves" in text for text in warnings_of(results))
    assert decoded(encoded(results)) == results


def test_what_another_seed_learns_is_no_leak(example: Registry, tmp_path: Path) -> None:
    made = build_plan(
        Recipe(teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",)), example
    )
    outcome = run_plan(made, Store(tmp_path), example, lambda event: None)
    asked = next(one for one in made.question_sets if one.split == "test")
    other = QuestionSet(asked.benchmark, "train", 1)
    other.questions[:] = asked.questions
    results = build_results(replace(made, question_sets=(*made.question_sets, other)), outcome, StoredRows(tmp_path))
    assert not results.contamination


def test_data_lists_overlaps(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", f"file:{files[0]},test=0", f"file:{files[1]},test=1", "--overlap"]
    assert run([*command, "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)
    assert (pair["test"], pair["train"], pair["n"]) == ("ask", "learn", 2)
    (row,) = pair["overlapping"]
    assert row["question"].startswith("ask/test/")
    assert row["words"].startswith("the farmer of the village walks")
    assert run(command) == 0
    assert "the farmer of the village walks 3 miles" in capsys.readouterr().out
    assert run([*command, "--ngram", "30", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
