"""lm-eval tasks beside the benchmarks, through a whole run: scored in each phase, told, and refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sitkit.api import RunResults
from sitkit.errors import DataError, PluginError, RecipeError, SitkitError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.here_executor import run_plan
from sitkit.harness.any_task import parse_task
from sitkit.plan import build_plan
from sitkit.recipe import Recipe, recipe_from
from sitkit.registry import Registry
from sitkit.report.markdown import markdown
from sitkit.report.tables import forgetting_tables, overlap_tables
from sitkit.report.warnings import warnings_of
from sitkit.report.write import write_report
from sitkit.results.build import build_results
from sitkit.results.model import Results, decoded, encoded
from sitkit.results.rows import StoredRows
from sitkit.stages import EvaluateTask
from sitkit.store import Store
from tests.harness.lm_eval_tasks import write_tasks

PARTS: dict[str, Any] = {
    "teacher": ("speller",),
    "student": ("counter",),
    "strategy": "spelled-first",
    "train_on": ("letters",),
}


def _results(registry: Registry, workspace: Path, **more: Any) -> Results:
    plan = build_plan(Recipe(**PARTS, **more), registry)
    outcome = run_plan(plan, Store(workspace), registry, lambda event: None)
    return build_results(plan, outcome, StoredRows(workspace))


def test_a_task_is_scored_in_each_phase_and_its_change_has_an_interval(example: Registry, tmp_path: Path) -> None:
    task = write_tasks(tmp_path / "tasks")["count"]
    results = _results(example, tmp_path / "w", eval_on=(f"lm-eval:{task},num_fewshot=0",), seeds=(0, 1))
    assert results.benchmarks == ["letters"], "the benchmarks are those of a run that names none"
    assert [(score.phase, score.title, len(score.seeds)) for score in results.forgetting] == [
        (phase, "count,num_fewshot=0", 2) for phase in ("baseline", "instruct", "refine")
    ]
    first, _, last = results.forgetting
    # Three is the guess, and the oak and the hat have as many.
    assert (first.n, first.num_fewshot, first.measure) == (9, 0, "exact_match (number)")
    assert first.value == pytest.approx(2 / 9)
    assert last.value == 1.0
    _, refined = results.forgetting_changes
    assert refined.value == pytest.approx(7 / 9)
    assert refined.paired is not None
    assert (refined.paired.gained, refined.paired.lost) == (14, 0)
    assert refined.certain
    (table,) = forgetting_tables(results)
    assert table.rows[0][:3] == ("count,num_fewshot=0", "exact_match (number)", "9")
    assert table.rows[0][-1].startswith("+0.7778 [+0.")
    assert "## Forgetting" in markdown(results, "run")
    assert decoded(encoded(results)) == results
    alone = results.narrowed(results.arms[0], 1)
    assert [len(score.seeds) for score in alone.forgetting] == [1, 1, 1]
    assert str(tmp_path) not in str(table)
    folder = tmp_path / "w" / "runs" / "name"
    folder.mkdir(parents=True)
    page = write_report(folder, results, example).read_text()
    linked = set(re.findall(r"store/evaluate/\w+/\w+\.jsonl", page))
    assert {path.rpartition("/")[2] for path in linked} == {"predictions.jsonl", "documents.jsonl"}
    assert all((tmp_path / "w" / path).is_file() for path in linked)
    frame = RunResults(tmp_path / "w" / "runs" / "name", results, example).forgetting()
    assert list(frame["phase"]) == ["baseline", "instruct", "refine"]
    assert frame["change"].iloc[2] == pytest.approx(7 / 9)
    assert list(frame["paired"]) == [False, True, True]


def test_documents_that_overlap_with_training_are_told(example: Registry, tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks")
    rows = (tmp_path / "tasks" / "rows.jsonl").read_text().splitlines()
    row = json.loads(rows[4]) | {"passage": "How many LETTERS are in the word: stone?", "notes": {"more": ["x"]}}
    (tmp_path / "tasks" / "rows.jsonl").write_text("\n".join([*rows[:4], json.dumps(row), *rows[5:]]) + "\n")
    results = _results(example, tmp_path / "w", eval_on=(f"lm-eval:{tasks['count']},num_fewshot=0",), ngram=8)
    (found,) = results.contamination
    assert (found.benchmark, found.n, found.questions) == ("count,num_fewshot=0", 9, ("count/4",))
    assert (found.trained, found.scores) == (("letters",), ())
    assert any("num_fewshot=0 1 of 9 (with letters)" in text for text in warnings_of(results))
    (table,) = overlap_tables(results)
    assert table.rows == (("count,num_fewshot=0", "-", "-", "1", "-", "-", "8"),)


def test_what_was_forgotten_is_a_warning(example: Registry, tmp_path: Path) -> None:
    task = write_tasks(tmp_path / "tasks")["count"]
    text = task.read_text().replace("higher_is_better: true", "higher_is_better: false")
    task.write_text(text)
    results = _results(example, tmp_path / "w", eval_on=(f"lm-eval:{task},num_fewshot=0",))
    (said,) = [text for text in warnings_of(results) if text.startswith("forgetting")]
    assert "count,num_fewshot=0 exact_match (number) +0.7778" in said


def test_stages_are_stored_and_known_by_the_tasks_content(example: Registry, tmp_path: Path) -> None:
    task = write_tasks(tmp_path / "tasks")["count"]
    recipe = Recipe(**PARTS, eval_on=("letters", f"lm-eval:{task},num_fewshot=0"))

    def missing() -> int:
        return dry_run(build_plan(recipe, example), Store(tmp_path / "w")).to_run

    plan = build_plan(recipe, example)
    assert missing() == len(plan.nodes)
    run_plan(plan, Store(tmp_path / "w"), example, lambda event: None)
    assert missing() == 0
    again = recipe_from(plan.full_recipe().as_mapping(), "recipe")
    assert [node.key for node in build_plan(again, example).nodes] == [node.key for node in plan.nodes]
    moved = build_plan(
        Recipe(**PARTS, eval_on=("letters", f"lm-eval:{write_tasks(tmp_path / 'elsewhere')['count']},num_fewshot=0")),
        example,
    )
    # The rows' own place stands in these tasks, so a task elsewhere is another one.
    assert {node.key for node in moved.nodes} & {node.key for node in plan.nodes}
    task.write_text(task.read_text().replace("max_gen_toks: 8", "max_gen_toks: 9"))
    assert missing() == 3


def test_what_is_asked_of_a_task_is_in_its_key(tmp_path: Path) -> None:
    task = write_tasks(tmp_path / "tasks")["count"]
    words = [f"lm-eval:{task}{more}" for more in ("", ",num_fewshot=0", ",num_fewshot=1", ",chat=true")]
    made = [parse_task(word, ()).material() for word in [*words, "lm-eval:count"]]
    assert len({str(one) for one in made}) == 5
    assert parse_task(f"{words[0]},chat=false", ()).material() == made[0]


@pytest.mark.parametrize(
    ("name", "more", "error", "said"),
    [
        ("after", "", PluginError, "after scores log-likelihoods, which the student counter does not tell; hf: does"),
        ("count", ",chat=true", PluginError, "lm-eval cannot apply the chat template of the student counter"),
        ("broken", "", DataError, "lm-eval cannot load it: FileNotFoundError"),
    ],
)
def test_what_cannot_be_scored_stops_a_run_before_anybody_is_asked(
    example: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    more: str,
    error: type[Exception],
    said: str,
) -> None:
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    tasks = write_tasks(tmp_path / "tasks")
    tasks["broken"] = tasks["count"].with_name("broken.yaml")
    tasks["broken"].write_text(tasks["count"].read_text().replace("task: count", "task: broken"))
    tasks["broken"].write_text(tasks["broken"].read_text().replace("rows.jsonl", "gone.jsonl"))
    monkeypatch.setattr(Speller, "answer", lambda *given: pytest.fail("asked"))
    plan = build_plan(Recipe(**PARTS, eval_on=(f"lm-eval:{tasks[name]}{more}",)), example)
    for attempt in (
        lambda: run_plan(plan, Store(tmp_path / "w"), example, lambda event: None),
        lambda: dry_run(plan, Store(tmp_path / "w"), example),
    ):
        with pytest.raises(error) as caught:
            attempt()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_on": ("lm-eval:hellaswag",)}, "can be scored (--eval-on), not trained or refined on"),
        ({"eval_on": ("lm-eval:hellaswag,fewshot=2",)}, "did you mean"),
        ({"eval_on": ("lm-eval:a.yaml",)}, "a.yaml: cannot be read (No such file or directory)"),
        ({"eval_on": ("lm-eval:letters_cot", "lm-eval:./letters_cot.yaml")}, "are called letters_cot"),
    ],
)
def test_wrong_words_are_refused(
    example: Registry, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(next(iter(example.task_folders)))
    with pytest.raises(SitkitError) as caught:
        build_plan(Recipe(**{**PARTS, **changes}), example)
    assert said in str(caught.value)


def test_a_plugins_own_task_gets_its_benchmarks_questions(example: Registry) -> None:
    plan = build_plan(Recipe(**PARTS, eval_on=("letters", "lm-eval:letters_cot")), example)
    stage = next(node.stage for node in plan.nodes if isinstance(node.stage, EvaluateTask))
    assert [one.benchmark.spec for one in stage.questions] == ["letters"]
    assert stage.task.folders == tuple(example.task_folders)


@pytest.mark.slow
def test_lm_evals_own_tasks_are_found_and_their_data_missed_in_one_line(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    for word, error, said in (
        ("lm-eval:helaswag", RecipeError, "lm-eval has no such task; near it are hellaswag"),
        ("lm-eval:ifeval", DataError, "lm-eval:ifeval: lm-eval cannot load it: "),
    ):
        with pytest.raises(error) as caught:
            dry_run(build_plan(Recipe(**PARTS, eval_on=(word,)), example), Store(tmp_path / "w"), example)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
