"""A run beside the paper's tables: which cells are shown, beside which student, and nothing where nothing fits."""

import re
from typing import Any

from sitkit_paper.beside import paper_tables
from sitkit_paper.figures import paper
from tests.sitkit_paper.paper_run import row, run


def _rating(phase: str, prompting: str, benchmark: str | None, mean: float | None, **more: Any) -> dict[str, Any]:
    return {
        "student": "hf:mistral-7b", "teacher": "openai:gpt-3.5-turbo", "train_on": ["gsm8k"], "refine_on": ["gsm8k"],
        "fraction": 1.0, "phase": phase, "prompting": prompting, "benchmark": benchmark, "n": 50, "mean": mean,
        "stderr": 0.1, "unread": 0,
    } | more  # fmt: skip


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
        row("baseline", "openbookqa", 50.0, stderr=0.02, teacher="", prompting="direct", n=120),
        row("instruct", "openbookqa", 70.0, stderr=0.02, train_on=["openbookqa"]),
        row("refine", "my_task", 99.0, stderr=0.02, train_on=["openbookqa"], refine_on=["openbookqa"]),
    ]
    (table,) = paper_tables({"scores": rows})
    assert table.headings == ("trained on", "method", "OBQA (n=500)")
    assert table.rows == (
        ("", "Baseline", "50.0 ± 2.0 (53.6, -3.6)"),
        ("OBQA", "Instruction-tuning", "70.0 ± 2.0 (65.3, +4.7)"),
    )
    assert "the name resembles none of its students" in table.note
    assert "It was taught by t, the paper's student by Llama-2-70" in table.note


def test_a_run_of_other_tasks_is_not_laid_beside_the_paper() -> None:
    assert paper_tables({"scores": [row("refine", "tiny_chain", 50.0, stderr=0.1, train_on=["tiny_chain"])]}) == []


def test_refining_on_another_task_shows_in_that_tasks_cross_cell_alone() -> None:
    more: dict[str, Any] = {"stderr": 0.02, "train_on": ["gsm8k"], "refine_on": ["piqa"]}
    (table,) = paper_tables(
        {"scores": [row("refine", "piqa", 80.0, **more), row("refine", "openbookqa", 10.0, **more)]}
    )
    assert [line for line in table.rows if line[0]] == [("GSM8K", "Cross Self-refine", "80.0 ± 2.0 (77.6, +2.4)")]


def test_training_on_several_tasks_at_once_is_not_passed_off_as_the_papers() -> None:
    rows = [
        row("baseline", "gsm8k", 50.0, stderr=0.02, teacher=""),
        row("instruct", "gsm8k", 60.0, stderr=0.02, train_on=["gsm8k", "multiarith"]),
    ]
    (table,) = paper_tables({"scores": rows})
    assert [line[1] for line in table.rows] == ["Baseline CoT"]
    assert "trained on several" in table.note


def test_the_largest_fraction_of_the_demonstrations_is_the_papers() -> None:
    more: dict[str, Any] = {"stderr": 0.02, "train_on": ["gsm8k"]}
    rows = [row("instruct", "gsm8k", 70.0, **more), row("instruct", "gsm8k", 30.0, **more, fraction=0.25)]
    (table,) = paper_tables({"scores": rows})
    assert table.rows == (("GSM8K", "Instruction-tuning", "70.0 ± 2.0 (71.2, -1.2)"),)


def test_a_teacher_asked_more_often_counts_by_its_largest_draw() -> None:
    one = {"teacher": "gold", "benchmark": "gsm8k", "split": "train", "prompting": "cot", "stderr": 0.01}
    (table,) = paper_tables(
        {"scores": [], "teacher_accuracy": [{**one, "value": 0.8, "n": 400}, {**one, "value": 0.9, "n": 100}]}
    )
    assert table.rows == (("train", "cot", "80.0 ± 1.0 (77.2, +2.8)"),)


def test_ratings_stand_beside_table_14_for_students_tested_on_their_own_task() -> None:
    results = run("Mistral-7", "hf:mistral-7b")
    for one in results["scores"]:
        one["teacher"] = one["teacher"] and "openai:gpt-3.5-turbo"
    judgement = {
        "judge": "openai:gpt-4",
        "ratings": [
            _rating("baseline", "direct", "gsm8k", 1.5, teacher="", train_on=[], refine_on=[]),
            _rating("refine", "cot", "gsm8k", 2.9),
            _rating("refine", "cot", "multiarith", 1.0),
            _rating("refine", "cot", "gsm8k", 1.0, fraction=0.5),
            _rating("refine", "direct", "gsm8k", 1.0),
            _rating("refine", "cot", None, 1.0),
            _rating("instruct", "cot", "gsm8k", None, n=0, stderr=None),
        ],
    }
    table = paper_tables(results, [judgement])[-1]
    assert "Table 14" in table.title
    assert table.rows == (
        ("Baseline", "1.50 ± 0.10 (1.16, +0.34)", "50"),
        ("+ Self-refine", "2.90 ± 0.10 (2.82, +0.08)", "50"),
    )
    assert "out-family" in table.note


def test_every_benchmark_of_the_paper_is_one_that_is_shipped() -> None:
    from sitkit_benchmarks import sitkit_benchmarks

    names: list[str] = []
    sitkit_benchmarks(lambda name, factory, *, aliases=(): names.append(name))
    assert set(paper().tasks) <= set(names)


def test_cells_are_numbers_with_an_error_and_two_more() -> None:
    for table in paper_tables(run(stderr=0.02)):
        for line in table.rows:
            assert all(re.fullmatch(r"\d+\.\d ± 2\.0 \(\d+\.\d, [+-]0\.0\)", cell) for cell in line[2:] if cell)
