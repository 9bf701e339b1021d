"""lm-eval tasks are held against the benchmark before anybody is asked, once for each state of their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import PluginError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.here_executor import run_plan
from sitkit.execution.task_checks import check_plan_tasks
from sitkit.harness import check
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.store import Store

RECIPE = Recipe(teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",))


@pytest.fixture
def tasks(example: Registry, tmp_path: Path) -> Path:
    """The example's task files, to be spoilt, in the place of its own."""
    (own,) = example.task_folders
    folder = tmp_path / "tasks"
    shutil.copytree(own, folder)
    example.task_folders.clear()
    example.task_folders[folder] = "sitkit-example"
    return folder


SPOILT = [
    ("letters_cot.yaml", "prompt_cot", "prompt_direct", "its prompt for 'test-hat' is not the cot prompt: from"),
    ("_letters.inc", "benchmark: letters", "benchmark: tiny_cups", "are questions of tiny_cups, not of letters"),
    ("_letters.inc", "metric: accuracy", "metric: exact_match", "its metric_list has no accuracy"),
    ("_letters.inc", "tasks.process_results", "tasks.no_such_function", "has no function 'no_such_function'"),
    ("_letters.inc", "generate_until", "multiple_choice", "its output_type is multiple_choice"),
    ("letters_direct.yaml", "task: letters_direct", "task: [letters_direct", "letters_direct.yaml, line"),
    ("letters_direct.yaml", "include: _letters.inc", "include: _none.inc", "letters_direct.yaml, line 1: includes"),
    ("letters_direct.yaml", "task: letters_direct", "task: another", "finds no task 'letters_direct'"),
    ("letters_direct.yaml", "task: letters_direct", "group: letters_direct\ntask: [letters_cot]", "is a group, not a"),
    ("letters_cot.yaml", "task:", "description: 'Think. '\ntask:", "from character 1 on 'Think. "),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), SPOILT)
def test_a_task_that_scores_something_else_is_refused_before_the_teacher_is_asked(
    example: Registry,
    tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    old: str,
    new: str,
    said: str,
) -> None:
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    asked: list[Any] = []
    monkeypatch.setattr(Speller, "answer", lambda *given: asked.append(given))
    text = (tasks / name).read_text()
    assert old in text
    (tasks / name).write_text(text.replace(old, new))
    plan, store = build_plan(RECIPE, example), Store(tmp_path / "work")
    for attempt in (lambda: run_plan(plan, store, example, print), lambda: dry_run(plan, store, example)):
        with pytest.raises(PluginError) as caught:
            attempt()
        assert said in str(caught.value)
        assert "benchmark letters (of sitkit-example)" in str(caught.value)
        assert str(tasks) in str(caught.value)
    assert not asked


def test_documents_that_are_missing_are_told(
    example: Registry, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tasks / "fewer.py").write_text(
        "from sitkit.harness.tasks import docs\n\n\n"
        "def most(**given):\n    return {'test': docs(**given)['test'].select(range(9))}\n"
    )
    text = (tasks / "_letters.inc").read_text()
    (tasks / "_letters.inc").write_text(text.replace("sitkit.harness.tasks.docs", "fewer.most"))
    with pytest.raises(PluginError, match="it asks 9 times, of 9 documents, for 14 test questions"):
        check_plan_tasks(build_plan(RECIPE, example), Store(tmp_path), example)


def test_what_was_found_right_is_not_looked_at_again_until_it_changes(
    example: Registry, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(check, "check_tasks", lambda checks: looked.extend(one.task for one in checks))
    store = Store(tmp_path / "work")

    def look() -> list[str]:
        looked.clear()
        store.workspace.mkdir(exist_ok=True)
        for key in check_plan_tasks(build_plan(RECIPE, example), store, example):
            store.note_checked(key)
        return list(looked)

    assert look() == ["letters_direct", "letters_cot"]
    assert look() == []
    with (tasks / "letters_cot.yaml").open("a") as file:
        file.write("# a remark\n")
    assert look() == ["letters_direct", "letters_cot"]


def test_a_dry_run_looks_at_tasks_and_writes_nothing(example: Registry, tmp_path: Path) -> None:
    dry_run(build_plan(RECIPE, example), Store(tmp_path / "work"), example)
    assert not (tmp_path / "work").exists()
