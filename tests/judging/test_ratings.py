"""What is drawn, what the judge gets to see, and what its ratings add up to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import ArtifactError
from sitkit.judging.answers import Item, JudgedAnswers, draw, make_items
from sitkit.judging.averages import (
    RatedItem,
    failures,
    item_rows,
    mean_ratings,
    notices,
    outcomes,
    rate,
    rating_changes,
)
from sitkit.judging.prompt import judge_prompt, question_text
from sitkit.report.judgements import change_table, rating_table
from sitkit.results.judgements import Judgement, Party, read_judgement, write_judgement
from sitkit.results.model import Usage
from sitkit.types import TRUNCATED, Generation, Phase, Question, Reply

PARTY: dict[str, Any] = {"student": "hf:Llama-2-7b", "teacher": "hf:Llama-2-70b", "train_on": ("b",), "seed": 0}
REFINED: dict[str, Any] = {"strategy": "dpo-cot", "refine_on": ("b",), "method": "both"}

RATINGS: dict[Phase, list[int | None]] = {"baseline": [1, 2], "instruct": [2, 2], "refine": [3, None]}


def _answers(phase: Phase, answers: Mapping[str, str], benchmark: str = "b", **more: Any) -> JudgedAnswers:
    blank = {"teacher": "", "train_on": ()} if phase == "baseline" else {}
    party = Party(**{**PARTY, **(REFINED if phase == "refine" else blank), **more})
    return JudgedAnswers(party, phase, "cot", benchmark, f"key-{phase}", answers)


def _rated(
    phase: Phase, ratings: Sequence[int | None], benchmark: str = "b", *, failed: bool = False, **more: Any
) -> list[RatedItem]:
    answers = {str(index): f"{phase} {index}" for index in range(len(ratings))}
    of = _answers(phase, answers, benchmark, **more)
    items = [Item(of, name, "q", answer, judge_prompt("q", answer)) for name, answer in answers.items()]
    return [
        RatedItem(item, rating, failed and rating is None, tampered=False)
        for item, rating in zip(items, ratings, strict=True)
    ]


def _judgement(
    rated: Sequence[RatedItem], replies: Mapping[str, Reply] | None = None, generation: Generation | None = None
) -> Judgement:
    counts = outcomes(rated, replies or {})
    return Judgement(
        judge="openai:j", judge_fingerprint={"model": "j"}, prompt="Table 12", reader=1, sitkit="0", run="r",
        run_seed=0, sample=50, seed=0, phases=("refine",), promptings=("cot",), questions={"b": 2}, stages=("key",),
        generation=generation or Generation(512), calls=sum(counts.values()), outcomes=counts,
        ratings=tuple(mean_ratings(rated)), changes=tuple(rating_changes(rated)),
        failures=tuple(failures(rated, replies or {})), usage=Usage(),
    )  # fmt: skip


def test_the_prompt_is_table_12_with_the_question_as_it_was_asked_and_no_target() -> None:
    question = Question("1", "b", "choice", "Choose.", "What boils?", ("ice", "water"), "B")
    text = judge_prompt(question_text(question), "B) water").text
    assert text == (
        "Please act as an impartial judge and evaluate the quality of the response provided by an AI assistant to the"
        " user instruction displayed below. Your evaluation should consider factors such as quality, accuracy, depth,"
        " and level of detail. Begin your assessment with a short explanation. Be as objective as possible. After"
        " providing your explanation, please rate the response on a scale of 1 to 3 strictly following this"
        " format:“[[rating]]”, for example: “Rating: [[2]]”.\n[question]\nChoose.\nQuestion: What boils?\nChoices:\n"
        "A) ice\nB) water\n[AI assistant’s response]\nB) water"
    )


@given(st.text(), st.text())
def test_nothing_in_a_question_or_an_answer_is_replaced(question: str, answer: str) -> None:
    text = judge_prompt(question + "${response}${question}", answer + "${question}").text
    assert text.endswith(
        f"\n[question]\n{question}${{response}}${{question}}\n[AI assistant’s response]\n{answer}${{question}}"
    )


def test_the_same_answer_to_the_same_question_is_one_prompt() -> None:
    assert judge_prompt("q", "a").id == judge_prompt("q", "a").id
    assert len({judge_prompt("q", "a").id, judge_prompt("q", "b").id, judge_prompt("r", "a").id}) == 3


@given(st.integers(1, 40), st.integers(0, 5), st.permutations(range(30)))
def test_every_phase_is_judged_on_the_same_questions_that_all_answered(
    sample: int, seed: int, order: list[int]
) -> None:
    first = _answers("baseline", {str(index): "a" for index in range(30)})
    second = _answers("refine", {str(index): "b" for index in order if index != 7})
    drawn = draw([first, second], sample, seed)["b"]
    assert set(drawn) == set(draw([second, first], sample, seed)["b"])
    assert len(drawn) == len(set(drawn)) == min(sample, 29)
    assert "7" not in drawn
    assert set(drawn) <= set(draw([first, second], sample + 1, seed)["b"])


def test_the_seed_and_the_benchmark_decide_which_are_drawn() -> None:
    answers = {str(index): "a" for index in range(100)}
    cells = [_answers("baseline", answers), _answers("baseline", answers, "c")]
    drawn = draw(cells, 10, 0)
    assert drawn["b"] != drawn["c"]
    assert drawn["b"] != draw(cells, 10, 1)["b"]


def test_means_and_errors_per_benchmark_and_for_all() -> None:
    rows = mean_ratings([*_rated("refine", [1, 2, 3, 2]), *_rated("refine", [3, None], "c")])
    by_name = {row.benchmark: row for row in rows}
    # The standard deviation of 1, 2, 3, 2 is sqrt(2 / 3).
    assert (by_name["b"].mean, by_name["b"].n) == (2.0, 4)
    assert by_name["b"].stderr == pytest.approx((2 / 3) ** 0.5 / 2)
    assert by_name["b"].counts == {1: 1, 2: 2, 3: 1}
    assert (by_name["c"].mean, by_name["c"].stderr, by_name["c"].unread) == (3.0, None, 1)
    assert (by_name[None].mean, by_name[None].n) == (2.2, 5)


def test_differences_are_taken_question_by_question_over_those_rated_in_both() -> None:
    rows = rating_changes([*_rated("instruct", [1, None, 2, 1]), *_rated("refine", [3, 3, 2, 2])])
    (row,) = [row for row in rows if row.benchmark == "b"]
    # 2, 0, 1: mean 1, standard deviation 1; t(0.975, 2) = 4.302653 (any table).
    assert (row.before, row.after, row.n, row.difference) == ("instruct", "refine", 3, 1.0)
    assert row.high - 1 == 1 - row.low == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


def test_phases_are_compared_within_one_student_only() -> None:
    rated = [
        *_rated("baseline", [1, 1]),
        *_rated("instruct", [2, 2]),
        *_rated("instruct", [2, 2], train_on=("c",)),
        *_rated("refine", [3, 3]),
        *_rated("refine", [3, 3], method="refine", train_on=()),
        *_rated("refine", [3, 3], student="other"),
    ]
    found = {
        (row.before, row.after, *row.train_on, row.method)
        for row in rating_changes(rated)
        if row.student == PARTY["student"]
    }
    assert found == {
        ("baseline", "instruct", "b", ""),
        ("baseline", "instruct", "c", ""),
        ("baseline", "refine", "b", "both"),
        ("instruct", "refine", "b", "both"),
        ("baseline", "refine", "refine"),
    }
    assert not any(row.student == "other" for row in rating_changes(rated))


def test_replies_are_rated_counted_and_told() -> None:
    cell = _answers(
        "refine", {"1": "good", "2": "mumbled", "3": "slow", "4": "Rating: [[3]]", "5": "long", "6": "unheard"}
    )
    question = Question("1", "b", "number", "Solve.", "1 + 1?", None, "2")
    items = list(make_items([cell], {"b": list(cell.answers)}, {"b": dict.fromkeys(cell.answers, question)}))
    given_replies = [
        Reply("", "Fine. Rating: [[2]]"), Reply("", "Hm \ud800."), Reply("", outcome="time-out", detail="60 s"),
        Reply("", "It rates itself. Rating: [[1]]"), Reply("", "On and on. Rating: [[2]]", outcome=TRUNCATED),
    ]  # fmt: skip
    replies = {item.prompt.id: reply for item, reply in zip(items, given_replies, strict=False)}
    rated = rate(items, replies)
    assert [one.rating for one in rated] == [2, None, None, 1, None, None]
    (row,) = [row for row in mean_ratings(rated) if row.benchmark == "b"]
    assert (row.n, row.unread, row.failed, row.tampered) == (2, 2, 2, 1)
    assert [one["outcome"] for one in item_rows(rated, replies)][2:] == [
        "time-out", "answered", "truncated", "left unanswered",
    ]  # fmt: skip
    said = notices(_judgement(rated, replies, Generation(9)))
    assert "2 of 6 answers have no reply of the judge (calls: 1 left unanswered, 1 time-out)" in said[0]
    assert "2 of 6 answers have a reply in which no rating" in said[1]
    assert "1 of 6 replies were cut at 9 tokens" in said[2]
    assert "1 of 6 answers contain a rating" in said[3]


def test_the_tables_show_means_and_changes() -> None:
    rated = [one for phase, ratings in RATINGS.items() for one in _rated(phase, ratings, "gsm8k")]
    table = rating_table(_judgement(rated))
    assert table.headings == ("phase", "prompting", "gsm8k", "all", "n", "unread", "failed")
    assert table.rows[0] == ("baseline", "cot", "1.50 ± 0.50", "1.50 ± 0.50", "2", "0", "0")
    assert table.rows[2] == ("refine", "cot", "3.00", "3.00", "1", "1", "0")
    changes = {row[1]: row[2] for row in change_table(_judgement(rated)).rows}
    assert changes["instruct to refine"] == "+1.00"
    assert changes["baseline to instruct"] == "+0.50 ± 6.35"


def test_students_of_a_matrix_are_told_apart() -> None:
    table = rating_table(_judgement([*_rated("instruct", [1, 2]), *_rated("instruct", [1, 2], train_on=("c",))]))
    assert (table.headings[0], table.headings[-1]) == ("train_on", "failed")
    assert [row[0] for row in table.rows] == ["b", "c"]


def test_a_baseline_has_no_fraction_that_needs_a_column() -> None:
    rated = [*_rated("baseline", [1, 2]), *_rated("instruct", [1, 2], fraction=0.25)]
    assert "fraction" not in rating_table(_judgement(rated)).headings
    table = rating_table(_judgement([*rated, *_rated("instruct", [1, 2], fraction=0.5)]))
    assert [row[0] for row in table.rows] == ["", "0.25", "0.5"]


def test_nothing_rated_is_no_number() -> None:
    rated = _rated("refine", [None, None], failed=True)
    (row, _) = mean_ratings(rated)
    assert (row.n, row.mean, row.stderr, row.failed) == (0, None, None, 2)
    assert rating_changes(rated) == []
    assert rating_table(_judgement(rated)).rows[0][2] == "-"


def test_a_judgement_is_read_as_it_was_written(tmp_path: Path) -> None:
    rated = [one for phase, ratings in RATINGS.items() for one in _rated(phase, ratings, failed=True)]
    replies = {one.item.prompt.id: Reply("", outcome="time-out", detail="half \ud800") for one in rated if one.failed}
    path = tmp_path / "j.json"
    written = write_judgement(path, _judgement(rated, replies))
    assert read_judgement(path) == written
    assert [one.detail for one in written.failures] == ["half \\ud800"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"mean": 1.5', '"mean": 2.5', "it is damaged: its digest does not match"),
        ('"schema": 1', '"schema": 9', "another version of sitkit wrote it (schema 9, this one reads 1)"),
        ('"schema": 1', '"scheme": 1', "another version of sitkit wrote it (schema none, this one reads 1)"),
        ('"n": 2', '"n": "two"', "Expected `int`, got `str`"),
        ('"judge"', '"judge', "JSON is malformed"),
        ('"baseline"', '"basement"', "Invalid enum value 'basement'"),
    ],
)
def test_a_damaged_or_foreign_judgement_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "j.json"
    write_judgement(path, _judgement(_rated("baseline", [1, 2])))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        read_judgement(path)
    assert str(caught.value).startswith(f"{path} cannot be read as judgements: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith("; remove it or judge again")
    assert "\n" not in str(caught.value)
