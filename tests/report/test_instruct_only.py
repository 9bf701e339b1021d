"""A run that instructs and refines nothing: what its report, its tables and its results say of refining, and do not."""

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sitkit.cli.show import show_results
from sitkit.recipe import Recipe, default_name
from sitkit.report.tables import accuracy_table, all_tables, forgetting_tables, gain_table, pair_tables
from sitkit.report.write import write_report
from sitkit.results.files import load_results
from sitkit.results.model import Results, TaskScore
from sitkit.workspace.runs import list_runs
from tests.example_runs import example_registry, make_run

Made = tuple[Path, Results]


def made(workspace: Path, method: str) -> Made:
    with example_registry() as registry:
        folder, _ = make_run(registry, workspace, method, methods=(method,))
        results = load_results(folder)
        write_report(folder, results, registry)
    return folder, results


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("workspace"), "instruct")


def seen(folder: Path) -> str:
    """What the page shows, as text."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    page = re.sub(r"<(script|style|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_no_row_table_or_sentence_is_of_refining(instructed: Made) -> None:
    folder, results = instructed
    assert {row[0] for row in accuracy_table(results).rows} == {"baseline", "instruct"}
    assert all(value for row in accuracy_table(results).rows for value in row)
    assert pair_tables(results) == ()
    empty = [table.title for table in all_tables(results) if not table.rows]
    assert set(empty) <= {"Answers cut at the length limit"}
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "on letters, not refined; seed 0" in text
    assert not re.search(r"refined (?!;)|spelled-first|preference", text.replace("not refined", ""), re.IGNORECASE)


def test_the_gain_is_of_instructing(instructed: Made) -> None:
    _, results = instructed
    table = gain_table(results)
    assert table.title == "Instructed minus baseline"
    found = {cell.phase: cell.value for cell in results.cells if cell.prompting == "cot"}
    assert [row[:3] for row in table.rows] == [
        ("letters", "trained", f"{100 * (found['instruct'] - found['baseline']):+.1f}")
    ]


def test_forgetting_has_no_column_of_refining(instructed: Made) -> None:
    _, results = instructed
    arm = results.arms[0]
    scores = [
        TaskScore(
            student=arm.student, teacher=arm.teacher if taught else "", strategy="", method="", fraction=1.0,
            phase=phase, train_on=arm.train_on if taught else (), refine_on=(), title="t", task="t", tasks=("t",),
            metric="acc", filter="none", higher_is_better=True, num_fewshot=0, n=10, value=0.5, stderr=None, seeds=(),
        )
        for phase, taught in (("baseline", False), ("instruct", True))
    ]  # fmt: skip
    (table,) = forgetting_tables(replace(results, forgetting=tuple(scores)))
    assert table.headings == ("lm-eval task", "metric", "n", "baseline", "instructed", "instructed - baseline")
    assert [len(row) for row in table.rows] == [len(table.headings)]


def test_the_gain_of_refining_alone_is_over_the_untaught_student(tmp_path: Path) -> None:
    _, results = made(tmp_path, "refine")
    table = gain_table(results)
    assert (table.title, len(table.rows)) == ("Refined minus baseline", 1)
    assert {row[0] for row in accuracy_table(results).rows} == {"baseline", "refine"}


def test_the_page_tells_of_instructing_alone(instructed: Made) -> None:
    folder, _ = instructed
    text = seen(folder)
    assert "strategy none" in text
    assert "points by instruction-tuning" in text
    assert "Instructed minus baseline" in text
    assert (folder / "figures" / "phases-0.svg").is_file()
    for word in ("refining", "No student was refined", "Where the pairs came from", "chosen and rejected", "spelled"):
        assert word not in text


def test_the_results_name_no_strategy(instructed: Made) -> None:
    folder, results = instructed
    assert [arm.strategy for arm in results.arms] == ["none"]
    (entry,) = [run for run in list_runs(folder.parents[1]) if run.name == folder.name]
    assert entry.shown["strategy"] == ["none"]
    recipe = Recipe(student=("counter",), strategy="spelled-first", train_on=("letters",), methods=("instruct",))
    assert default_name(recipe, "0123456789") == "counter_instruct_letters_01234567"


def test_the_terminal_shows_no_pairs(instructed: Made, capsys: pytest.CaptureFixture[str]) -> None:
    folder, results = instructed
    show_results(results, folder, verbose=True)
    shown = capsys.readouterr().out
    assert "Instructed minus baseline" in shown
    assert not re.search(r"refine|preference pairs", shown, re.IGNORECASE)


def test_an_instructed_student_is_repeated_in_plain_lm_eval(instructed: Made) -> None:
    folder, _ = instructed
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "The instructed student's accuracy on letters" in text
    assert "sitkit export instruct ./student --merge --phase instruct\n" in text
