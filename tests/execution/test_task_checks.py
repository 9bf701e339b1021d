"""lm-eval tasks are held against the benchmark before anybody is asked, once for each state of their files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.components import Components, task_name
from sitkit.errors import PluginError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.here_executor import run_plan
from sitkit.execution.task_checks import check_plan_tasks
from sitkit.harness import check
from sitkit.harness.check import TaskCheck
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry, load_plugins
from sitkit.stages import Evaluate
from sitkit.store import Store
from sitkit.types import PROMPTINGS

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


def not_plain(tasks: Path) -> None:
    """Have a file of the tasks say a word that is none of a plain task's, and changes nothing."""
    with (tasks / "_letters.inc").open("a") as file:
        file.write("description: ''\n")


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


OWN = [
    ("tasks.docs", "{'test': ours.docs(**more)['test'].map(lambda doc: {'id': None})}", "have no field 'id'"),
    (
        "tasks.docs",
        "{'test': ours.docs(**more)['test'].map(lambda doc: {'id': 'x' + doc['id']})}",
        "14 of its 14 documents are not test questions of letters, the first 'xtest-hat'",
    ),
    ("tasks.process_results", "{'right': 1}", "its process_results gives {'right': 1}, without accuracy"),
    (
        "tasks.process_results",
        "{'accuracy': 1, 'extraction_failure': 0}",
        "judges an empty answer to 'test-hat' as right",
    ),
]


@pytest.mark.parametrize(("function", "returned", "said"), OWN)
def test_what_a_tasks_own_function_does_wrong_is_told(
    example: Registry, tasks: Path, tmp_path: Path, function: str, returned: str, said: str
) -> None:
    (tasks / "own.py").write_text(
        f"from sitkit.harness import tasks as ours\n\n\ndef own(*given, **more):\n    return {returned}\n"
    )
    for path in (tasks / "_letters.inc", tasks / "letters_cot.yaml"):
        path.write_text(path.read_text().replace(f"sitkit.harness.{function}", "own.own"))
    with pytest.raises(PluginError) as caught:
        check_plan_tasks(build_plan(RECIPE, example), Store(tmp_path / "work"), example)
    assert said in str(caught.value)


def test_a_task_whose_filters_have_another_name_is_refused(example: Registry, tasks: Path, tmp_path: Path) -> None:
    with (tasks / "_letters.inc").open("a") as file:
        file.write("filter_list:\n  - name: last\n    filter:\n      - function: take_first\n")
    with pytest.raises(PluginError, match="its filter_list has no filter named none, by which scores are read"):
        check_plan_tasks(build_plan(RECIPE, example), Store(tmp_path / "work"), example)


def test_what_was_found_right_is_not_looked_at_again_until_it_changes(
    example: Registry, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_plain(tasks)
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


def test_a_dry_run_looks_at_tasks_and_writes_nothing(example: Registry, tasks: Path, tmp_path: Path) -> None:
    not_plain(tasks)
    found = dry_run(build_plan(RECIPE, example), Store(tmp_path / "work"), example)
    assert found.stored == 0
    assert not (tmp_path / "work").exists()


def test_tasks_of_sitkits_own_functions_are_sound_and_need_no_loading(
    example: Registry, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [node.stage for node in build_plan(RECIPE, example).nodes if isinstance(node.stage, Evaluate)]
    plain = stages[0].task_checks(None, example.folders_of_tasks())
    assert all(one.is_plain() for one in plain)
    check.check_tasks(plain)
    ours = load_plugins()
    for name in ours.first_names("benchmark"):
        made = Components(ours, None, drop_duplicates=False).benchmark(name)
        for prompting in PROMPTINGS:
            one = TaskCheck(
                who=name,
                benchmark=name,
                task=task_name(made, prompting),
                prompting=prompting,
                questions=(),
                limit=None,
                folders=ours.folders_of_tasks()["sitkit"],
                provider=made.provider,
                metadata={},
            )
            assert one.is_plain(), one.task
            assert not replace(one, prompting="direct" if prompting == "cot" else "cot").is_plain()
            assert not replace(one, benchmark="another").is_plain()


def test_a_module_beside_the_file_makes_a_task_not_plain(example: Registry, tasks: Path) -> None:
    stages = [node.stage for node in build_plan(RECIPE, example).nodes if isinstance(node.stage, Evaluate)]
    (tasks / "sitkit" / "harness").mkdir(parents=True)
    (tasks / "sitkit" / "harness" / "tasks.py").write_text("prompt_cot = str\n")
    assert not any(one.is_plain() for one in stages[0].task_checks(None, example.folders_of_tasks()))
