"""A run beside the paper's tables: which cells are shown, beside which student, and nothing where nothing fits."""

import re
from typing import Any

from sitkit.results.model import Change, TeacherScore
from sitkit_paper import sitkit_report_sections
from sitkit_paper.beside import paper_tables
from sitkit_paper.evidence import signed
from sitkit_paper.printed import paper
from tests.sitkit_paper.paper_run import cell, judgement, rating, results, run


def test_a_run_with_the_papers_numbers_differs_from_it_nowhere() -> None:
    students, teachers = paper_tables(run())
    assert students.title.startswith("Beside the paper's Table 1:")
    cells = [cell for line in students.rows for cell in line[2:] if cell]
    # Untrained 2 x 6, instructed and refined 6 x 6, crossed 6 x 5.
    assert len(cells) == 12 + 36 + 36 + 30
    assert all(cell.endswith(", +0.0)") for cell in cells)
    line = next(line for line in students.rows if line[:2] == ("OBQA", "Cross Self-refine"))
    assert line[2] == ""
    assert line[7] == "83.2 ± 0.0 (83.2, +0.0)"
    assert "Both were taught by Llama-2-70 (named in section 4.3)." in students.note
    assert [line[:2] for line in teachers.rows] == [
        ("train", "direct"), ("train", "cot"), ("test", "direct"), ("test", "cot"),
    ]  # fmt: skip
    assert all(cell.endswith(", +0.0)") for line in teachers.rows for cell in line[2:])


def test_each_student_gets_its_own_table() -> None:
    for name, student, table in (("Llama-2-13", "hf:llama-2-13b", 10), ("Mistral-7", "hf:mistral-7b-instruct", 11)):
        tables = paper_tables(run(name, student))
        assert tables[0].title.startswith(f"Beside the paper's Table {table}:")
        assert all(cell.endswith(", +0.0)") for line in tables[0].rows for cell in line[2:] if cell)


def test_only_tasks_that_occur_are_shown_and_a_difference_has_its_sign() -> None:
    rows = [
        cell("baseline", "openbookqa", 50.0, stderr=0.02, prompting="direct", n=120),
        cell("instruct", "openbookqa", 70.0, stderr=0.02, train_on=("openbookqa",)),
        cell("refine", "my_task", 99.0, stderr=0.02, train_on=("openbookqa",), refine_on=("openbookqa",)),
    ]
    (table,) = paper_tables(results(rows))
    assert table.headings == ("trained on", "method", "OBQA (n=500)")
    assert table.rows == (
        ("", "Baseline", "50.0 ± 2.0 (53.6, -3.6)"),
        ("OBQA", "Instruction-tuning", "70.0 ± 2.0 (65.3, +4.7)"),
    )
    assert "the name resembles none of its students" in table.note
    assert "It was taught by t, the paper's student by Llama-2-70" in table.note


def test_a_run_of_other_tasks_is_not_laid_beside_the_paper() -> None:
    assert paper_tables(results([cell("refine", "tiny_chain", 50.0, stderr=0.1, train_on=("tiny_chain",))])) == []


def test_refining_on_another_task_shows_in_that_tasks_cross_cell_alone() -> None:
    more: dict[str, Any] = {"stderr": 0.02, "train_on": ("gsm8k",), "refine_on": ("piqa",)}
    cells = [cell("refine", "piqa", 80.0, **more), cell("refine", "openbookqa", 10.0, **more)]
    (table,) = paper_tables(results(cells))
    assert [line for line in table.rows if line[0]] == [("GSM8K", "Cross Self-refine", "80.0 ± 2.0 (77.6, +2.4)")]


def test_training_on_several_tasks_at_once_is_not_passed_off_as_the_papers() -> None:
    rows = [
        cell("baseline", "gsm8k", 50.0, stderr=0.02),
        cell("instruct", "gsm8k", 60.0, stderr=0.02, train_on=("gsm8k", "multiarith")),
    ]
    (table,) = paper_tables(results(rows))
    assert [line[1] for line in table.rows] == ["Baseline CoT"]
    assert "trained on several" in table.note


def test_the_largest_fraction_of_the_demonstrations_is_the_papers() -> None:
    more: dict[str, Any] = {"stderr": 0.02, "train_on": ("gsm8k",)}
    rows = [cell("instruct", "gsm8k", 70.0, **more), cell("instruct", "gsm8k", 30.0, **more, fraction=0.25)]
    (table,) = paper_tables(results(rows))
    assert table.rows == (("GSM8K", "Instruction-tuning", "70.0 ± 2.0 (71.2, -1.2)"),)


def test_a_teacher_asked_more_often_counts_by_its_largest_draw() -> None:
    asked: dict[str, Any] = {"teacher": "gold", "benchmark": "gsm8k", "split": "train", "prompting": "cot", "key": "k"}
    draws = [TeacherScore(**asked, value=value, n=n, stderr=0.01) for value, n in ((0.8, 400), (0.9, 100))]
    (table,) = paper_tables(results((), draws))
    assert table.rows == (("train", "cot", "80.0 ± 1.0 (77.2, +2.8)"),)


def test_ratings_stand_beside_table_14_for_students_tested_on_their_own_task() -> None:
    found = run("Mistral-7", "hf:mistral-7b", teacher="openai:gpt-3.5-turbo")
    whose = {"student": "hf:mistral-7b", "teacher": "openai:gpt-3.5-turbo"}
    said = judgement(
        rating("baseline", "direct", "gsm8k", 1.5, student="hf:mistral-7b", teacher="", train_on=(), refine_on=()),
        rating("refine", "cot", "gsm8k", 2.9, **whose),
        rating("refine", "cot", "multiarith", 1.0, **whose),
        rating("refine", "cot", "gsm8k", 1.0, **whose, fraction=0.5),
        rating("refine", "direct", "gsm8k", 1.0, **whose),
        rating("refine", "cot", None, 1.0, **whose),
        rating("instruct", "cot", "gsm8k", None, **whose, n=0, stderr=None),
    )
    table = paper_tables(found, [said])[-1]
    assert "Table 14" in table.title
    assert table.rows == (
        ("Baseline", "1.50 ± 0.10 (1.16, +0.34)", "50"),
        ("+ Self-refine", "2.90 ± 0.10 (2.82, +0.08)", "50"),
    )
    assert "out-family" in table.note


def test_every_benchmark_of_the_paper_is_one_that_is_shipped() -> None:
    from sitkit_benchmarks import sitkit_benchmarks

    names: list[str] = []
    sitkit_benchmarks(lambda name, factory, **_: names.append(name))
    assert set(paper().tasks) <= set(names)


def test_cells_are_numbers_with_an_error_and_two_more() -> None:
    for table in paper_tables(run(stderr=0.02)):
        for line in table.rows:
            assert all(re.fullmatch(r"\d+\.\d ± 2\.0 \(\d+\.\d, [+-]0\.0\)", cell) for cell in line[2:] if cell)


def test_ratings_of_teachers_and_targets_stand_beside_table_13() -> None:
    whose: dict[str, Any] = {"student": "", "train_on": (), "refine_on": ()}
    said = judgement(
        rating("teacher", "cot", "gsm8k", 2.5, **whose, teacher="hf:llama-2-70b"),
        rating("teacher", "cot", "piqa", 2.9, **whose, teacher="hf:llama-2-70b", n=150, stderr=0.0),
        rating("teacher", "cot", "tiny_a", 1.0, **whose, teacher="hf:llama-2-70b"),
        rating("target", "direct", "gsm8k", 1.2, **whose, teacher=""),
    )
    (table,) = paper_tables(results(), [said])
    assert table.title == "Beside the paper's Table 13: judged by j"
    # 50 answers at 2.5 ± 0.1 and 150 at 2.9, whose error of 0 is taken as 1/151.
    assert table.rows == (
        ("hf:llama-2-70b, cot", "2.80 ± 0.03 (2.72, +0.08)", "200"),
        ("targets", "1.20 ± 0.10 (1.00, +0.20)", "50"),
    )
    assert "hf:llama-2-70b is shown beside Llama-2-70." in table.note


def _fallen(percent: float) -> Any:
    cells = [
        cell("baseline", "gsm8k", 60.0, stderr=0.01),
        cell("instruct", "gsm8k", percent, stderr=0.01, train_on=("gsm8k",)),
    ]
    change = Change(
        before=0, after=1, value=0.0, interval=None, style=0.0, skill=0.0, paired=None, detectable=0.1, needed=None
    )
    return results(cells, changes=[change])


def test_a_section_says_the_papers_own_count_where_instructing_fell() -> None:
    told = "so it did in the paper's Tables 1, 10 and 11, in 53 of 108 cells (below Baseline CoT)"
    (section,) = sitkit_report_sections(_fallen(50.0), [])
    assert (section.anchor, section.title) == ("paper", "Beside the paper")
    assert told in section.note
    assert [table.title for table in section.tables][1:] == [
        "The paper's claims", "What the paper's own tables contradict",
    ]  # fmt: skip
    (section,) = sitkit_report_sections(_fallen(59.0), [])
    assert told not in section.note


def test_a_run_without_the_papers_tasks_has_no_section() -> None:
    assert sitkit_report_sections(results([cell("baseline", "tiny_a", 50.0, stderr=0.1)]), []) == []


def test_a_difference_has_its_sign_and_halves_go_away_from_nothing() -> None:
    assert [signed(value, 1) for value in (4.55, -4.55, 0.0, -0.04, 2.0)] == ["+4.6", "-4.6", "+0.0", "+0.0", "+2.0"]
