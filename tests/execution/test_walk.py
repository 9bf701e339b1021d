"""Walking a plan: reuse, resume, damage, full disks, other plugins' hooks; with the example plugin's parts."""

import errno
import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sitkit.errors import DiskFullError, PluginError, RecipeError
from sitkit.execution.dry_run import PlannedStage, dry_run
from sitkit.execution.events import Event, Notice, StageFinished, StageStarted
from sitkit.execution.executor import Outcome
from sitkit.execution.here_executor import run_plan
from sitkit.hookspecs import hookimpl
from sitkit.plan import build_plan
from sitkit.plugin_import import Broken
from sitkit.providers import Provider
from sitkit.recipe import Recipe, recipe_from
from sitkit.registry import Registry, build_registry, load_plugins
from sitkit.results.build import build_results
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.stages import Refine
from sitkit.store import Store
from sitkit.types import Objective, PreferencePair, StageInfo, TrainingReport
from tests.example_runs import count_stages
from tests.installed import register

RECIPE = Recipe(teacher=("speller,slips=5",), student=("counter",), strategy="spelled-first", train_on=("letters",))


def _run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    return run_plan(build_plan(recipe, registry), Store(workspace), registry, events.append), events


def _scores(registry: Registry, outcome: Outcome, recipe: Recipe = RECIPE) -> str:
    return json.dumps([asdict(cell) for cell in _results(registry, outcome, recipe).cells])


def _results(registry: Registry, outcome: Outcome, recipe: Recipe = RECIPE) -> Results:
    workspace = next(iter(outcome.artifacts.values())).folder.parents[2]
    return build_results(build_plan(recipe, registry), outcome, StoredRows(workspace))


def test_a_second_walk_reuses_every_stage_and_scores_are_the_same(example: Registry, tmp_path: Path) -> None:
    first, _ = _run(example, tmp_path)
    second, events = _run(example, tmp_path)
    assert not any(record.reused for record in first.stages)
    assert all(record.reused for record in second.stages)
    assert not any(isinstance(event, StageStarted) for event in events)
    assert _scores(example, first) == _scores(example, second)


def test_the_example_student_learns_and_every_score_has_its_fields(example: Registry, tmp_path: Path) -> None:
    outcome, _ = _run(example, tmp_path)
    rows = json.loads(_scores(example, outcome))
    cot = {row["phase"]: row["value"] for row in rows if row["prompting"] == "cot"}
    assert cot["baseline"] < cot["instruct"] < cot["refine"]
    assert {(row["n"], row["domain"], row["transfer"]) for row in rows} == {(14, "words", "trained")}
    assert len(rows) == 6


def test_changing_beta_asks_nobody_again(example: Registry, tmp_path: Path) -> None:
    _run(example, tmp_path)
    _, events = _run(example, tmp_path, replace(RECIPE, settings={"refine": {"beta": 0.5}}))
    run = [event.stage.stage for event in events if isinstance(event, StageStarted)]
    assert run == ["refine", "evaluate"]


def test_seeds_share_the_demonstrations_and_the_baseline(example: Registry) -> None:
    counts = count_stages(build_plan(replace(RECIPE, seeds=(0, 1, 2)), example))
    assert counts == {"annotate": 2, "evaluate": 1 + 2 * 3, "instruct": 3, "sample": 3, "pair": 3, "refine": 3}


def test_a_larger_limit_asks_the_teacher_only_for_what_is_missing(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    asked: list[tuple[str, str]] = []
    answer = Speller.answer

    def watched(self: Any, questions: Any, prompting: str, *rest: Any) -> Any:
        asked.extend((question.id, prompting) for question in questions)
        return answer(self, questions, prompting, *rest)

    monkeypatch.setattr(Speller, "answer", watched)
    _run(example, tmp_path, replace(RECIPE, limit=4))
    _run(example, tmp_path, replace(RECIPE, limit=9))
    _run(example, tmp_path, replace(RECIPE, fraction=(0.5,)))
    assert len(asked) == len(set(asked)) <= 2 * 14


def test_an_answer_changed_in_a_journal_is_named_and_asked_again(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _run(example, tmp_path)
    journal = min((tmp_path / "journals").glob("annotate-*.jsonl"))
    answer = journal.read_text(encoding="ascii")
    changed = answer.replace("The answer is 4", "The answer is 5", 1)
    assert changed != answer
    journal.write_text(changed, encoding="ascii")
    for record in first.stages:
        if record.stage == "annotate":
            Store(tmp_path).discard("annotate", record.key)
    asked: list[str] = []
    teacher = importlib.import_module("sitkit_example.teacher").Speller
    answer_all = teacher.answer

    def answering(self: Any, questions: Any, *more: Any) -> Any:
        asked.extend(question.id for question in questions)
        return answer_all(self, questions, *more)

    monkeypatch.setattr(teacher, "answer", answering)
    second, events = _run(example, tmp_path)
    assert len(asked) == 1
    (said,) = [event.text for event in events if isinstance(event, Notice) and str(journal) in event.text]
    assert "damaged" in said
    assert said in second.notices
    assert _scores(example, first) == _scores(example, second)


def test_a_damaged_artifact_is_named_and_made_again(example: Registry, tmp_path: Path) -> None:
    first, _ = _run(example, tmp_path)
    damaged = next(record for record in first.stages if record.stage == "instruct")
    folder = first.artifacts[damaged.key].folder
    weights = next(path for path in (folder / "adapter").rglob("*") if path.is_file())
    weights.write_bytes(b"garbage")
    second, events = _run(example, tmp_path)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any(str(weights) in text and "run again" in text for text in notices)
    assert [record.stage for record in second.stages if not record.reused] == ["instruct"]
    assert _scores(example, first) == _scores(example, second)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_and_loses_nothing(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    from sitkit_example.student import Counter  # type: ignore[import-not-found]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Counter, "refine", full)
        with pytest.raises(DiskFullError, match="no space left"):
            _run(example, tmp_path)
    outcome, _ = _run(example, tmp_path)
    assert [record.stage for record in outcome.stages if not record.reused] == ["refine", "evaluate"]


def test_a_stage_that_is_stopped_goes_on_from_its_rows(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    complete = Counter.complete
    counted: list[str] = []

    def stopping(self: Any, *arguments: Any) -> Any:
        for row in complete(self, *arguments):
            counted.append(row.id)
            yield row
            if len(counted) == 20:
                raise KeyboardInterrupt

    monkeypatch.setattr(Counter, "complete", stopping)
    with pytest.raises(KeyboardInterrupt):
        _run(example, tmp_path)
    outcome, _ = _run(example, tmp_path)
    monkeypatch.undo()
    # 14 questions in two promptings make the 28 prompts of the first stage: none is asked twice.
    assert len(set(counted[:28])) == 28
    fresh, _ = _run(example, tmp_path / "fresh")
    assert _scores(example, outcome) == _scores(example, fresh)


def test_hooks_around_stages_are_called_and_a_failing_one_is_named(example: Registry, tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    class Watcher:
        @hookimpl
        def sitkit_before_stage(self, stage: StageInfo) -> None:
            seen.append(("before", stage.stage))

        @hookimpl
        def sitkit_after_stage(self, stage: StageInfo, seconds: float) -> None:
            seen.append(("after", stage.stage))
            if stage.stage == "pair":
                raise RuntimeError("watcher broke")

    example.manager.register(Watcher(), name="watcher")
    registry = build_registry(example.manager, {**example.providers, "watcher": Provider("watch-dist", "2")})
    outcome, events = _run(registry, tmp_path)
    made = [event.stage.stage for event in events if isinstance(event, StageFinished)]
    assert [name for when, name in seen if when == "before"] == made
    assert [name for when, name in seen if when == "after"] == made
    assert any("watch-dist" in text and "watcher broke" in text for text in outcome.notices)


def test_a_run_says_which_guards_of_broken_plugins_do_not_watch_it(example: Registry, tmp_path: Path) -> None:
    example.broken.append(Broken("watch-dist", "import", "ImportError: no", ("sitkit_before_stage", "sitkit_teachers")))
    outcome, _ = _run(example, tmp_path)
    told = "plugin watch-dist is broken (import: ImportError: no), so its sitkit_before_stage is not called"
    assert [text for text in outcome.notices if "watch-dist" in text] == [told]


def test_a_run_says_of_which_plugin_the_source_stands_in_the_keys(example: Registry, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    register(tmp_path / "site", "sitkit-example", ["sitkit_example"])
    installed = Distribution.at(tmp_path / "site" / "sitkit_example-1.0.dist-info")
    registry = build_registry(example.manager, {"example": Provider("sitkit-example", "1.0", installed)})
    outcome, _ = _run(registry, tmp_path / "work")
    (told,) = outcome.notices
    assert told.startswith(
        "sitkit-example 1.0 has no record of the files that were installed: the digest of its source"
    )
    assert _run(example, tmp_path / "other")[0].notices == []


def _replacing(module: str, name: str, attribute: str) -> Callable[[pytest.MonkeyPatch, Any], None]:
    def replace_it(patch: pytest.MonkeyPatch, value: Any) -> None:
        import importlib

        holder: ModuleType = importlib.import_module(module)
        patch.setattr(getattr(holder, name), attribute, value)

    return replace_it


def _refusing_connections(*_: Any) -> None:
    raise ConnectionError("connection refused")


def _exiting(*_: Any) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("teacher", "Speller", "answer"), lambda *_: iter([("nobody", "x")]), "answered 'nobody'"),
        (("student", "Counter", "complete"), lambda *_: iter([]), "returned no completion for 28 of 28 prompts"),
        (("strategy", "SpelledFirst", "pairs"), lambda *_: iter([3]), "int in place of a PreferencePair"),
        (("strategy", "SpelledFirst", "pairs"), lambda *_: None, "pairs failed with TypeError"),
        (("strategy", "SpelledFirst", "pairs"), lambda *_: iter([]), "returned no result for 14 of 14 candidates"),
        (("strategy", "SpelledFirst", "objective"), lambda *_: {"beta": 1}, "in place of an Objective"),
        (("strategy", "SpelledFirst", "objective"), lambda *_: Objective(beta=-1), "not a valid objective"),
        (
            ("strategy", "SpelledFirst", "objective"),
            lambda *_: Objective(weights=(float("nan"),)),
            "not a valid objective",
        ),
        (("strategy", "SpelledFirst", "objective"), lambda *_: Objective(loss=("a", "b")), "not a valid objective"),
        (("teacher", "Speller", "answer"), _refusing_connections, "answer failed with ConnectionError"),
        (("teacher", "Speller", "answer"), lambda *_: iter([None]), r"in place of \(id, text\)"),
        (("teacher", "Speller", "answer"), lambda *_: None, "answer failed with TypeError"),
        (("teacher", "Speller", "fingerprint"), lambda *_: {1, 2}, "fingerprint failed with TypeError"),
        (("student", "Counter", "recommended"), lambda *_: None, "recommended gave None"),
        (
            ("student", "Counter", "recommended"),
            lambda *_: {"refine": {"bete": 1}},
            "recommends a setting that is not valid",
        ),
        (("student", "Counter", "instruct"), lambda *_, **__: None, "in place of a TrainingReport"),
        (("benchmark", "Letters", "domain"), None, "its domain is None"),
        (("benchmark", "Letters", "questions"), lambda *_: ["x"], "in place of a Question"),
        (("benchmark", "Letters", "task"), lambda *_: "letters_cot", "the same name for every prompting"),
        (("benchmark", "Letters", "task"), lambda *_: None, "task gave None for direct"),
        (
            ("student", "Counter", "recommended"),
            lambda *_: {"refine": {3: 1}},
            "recommends a setting that is not valid",
        ),
        (("student", "Counter", "instruct"), lambda *_, **__: TrainingReport(1, {}), "left nothing in"),
        (("teacher", "Speller", "fingerprint"), lambda *_: "x" * 1_000_001, "more than 1,000,000"),
        (("teacher", "Speller", "answer"), _exiting, "answer failed with SystemExit: 3"),
    ],
)
def test_parts_that_return_nonsense_are_named(
    example: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: tuple[str, str, str],
    value: Any,
    said: str,
) -> None:
    module, name, attribute = where
    _replacing(f"sitkit_example.{module}", name, attribute)(monkeypatch, value)
    with pytest.raises(PluginError, match=said) as caught:
        _run(example, tmp_path)
    assert "sitkit-example" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chosen": " "}, "its chosen is ' ', expected a text"),
        ({"prompt": None}, "its prompt is None"),
        ({"chosen_from": "somebody"}, "its chosen_from is 'somebody', expected one of student, teacher, target"),
        ({"chosen_correct": "yes"}, "its chosen_correct is 'yes', expected True or False"),
        ({"rejected_correct": True}, "its rejected side is right, which it is not"),
        ({"chosen": "The answer is 77", "chosen_correct": True}, "its chosen side is right, which it is not"),
        ({"question_id": "elsewhere"}, "is not about one of its candidates"),
    ],
)
def test_a_wrong_pair_is_named_and_a_mended_strategy_runs(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    from sitkit_example.strategy import SpelledFirst  # type: ignore[import-not-found]

    pairs = SpelledFirst.pairs

    def wrong(self: Any, candidates: Any) -> Any:
        for item in pairs(self, candidates):
            yield replace(item, **changes) if isinstance(item, PreferencePair) else item

    with monkeypatch.context() as patch:
        patch.setattr(SpelledFirst, "pairs", wrong)
        with pytest.raises(PluginError, match=said) as caught:
            _run(example, tmp_path)
    assert str(caught.value).startswith("strategy spelled-first (of sitkit-example), ")
    assert "test_walk.py:" in str(caught.value)
    assert not list((tmp_path / "store" / "pair").rglob("pairs.jsonl"))
    outcome, _ = _run(example, tmp_path)
    assert next(record for record in outcome.stages if record.stage == "pair").info["total"] == 11


@pytest.mark.parametrize("wrong_in", ["train", "test"])
def test_a_wrong_target_is_found_before_anybody_is_asked(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_in: str
) -> None:
    from sitkit_example.benchmark import Letters  # type: ignore[import-not-found]
    from sitkit_example.student import Counter
    from sitkit_example.teacher import Speller

    questions, asked = Letters.questions, list[object]()

    def wrong(self: Any, split: str, seed: int) -> Any:
        first, *rest = questions(self, split, seed)
        return [replace(first, target="three") if split == wrong_in else first, *rest]

    monkeypatch.setattr(Letters, "questions", wrong)
    monkeypatch.setattr(Speller, "answer", lambda *given: asked.append(given))
    monkeypatch.setattr(Counter, "complete", lambda *given: asked.append(given))
    with pytest.raises(PluginError, match=r"question '(test-hat|train-cup)' .*the target 'three' is not a number"):
        _run(example, tmp_path)
    assert not asked


def test_a_wrong_target_of_the_last_benchmark_is_found_before_the_first_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_tiny.benchmarks import TinyBenchmark
    from sitkit_tiny.teacher import ScriptedTeacher

    questions, asked = TinyBenchmark.questions, list[object]()

    def wrong(self: Any, split: str, seed: int) -> Any:
        *rest, last = questions(self, split, seed)
        return [*rest, replace(last, target="F") if (self.name, split) == ("tiny_cups", "train") else last]

    monkeypatch.setattr(TinyBenchmark, "questions", wrong)
    monkeypatch.setattr(ScriptedTeacher, "answer", lambda *given: asked.append(given))
    with pytest.raises(PluginError, match="the target 'F' is not the letter of one of its options"):
        _run(load_plugins(), tmp_path, Recipe(train_on=("tiny_chain", "tiny_cups"), eval_on=("tiny_chain",)))
    assert not asked


def test_what_a_stage_left_that_did_not_finish_is_not_kept(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    instruct = Counter.instruct

    def bad(self: Any, *given: Any, out: Path, **more: Any) -> Any:
        report = instruct(self, *given, out=out, **more)
        (out / "left-over").touch()
        return replace(report, metrics={"loss": float("nan")})

    with monkeypatch.context() as patch:
        patch.setattr(Counter, "instruct", bad)
        with pytest.raises(PluginError, match="its metric 'loss' is nan, expected a finite number"):
            _run(example, tmp_path)
    _run(example, tmp_path)
    assert not list((tmp_path / "store").rglob("left-over"))


def test_a_part_that_cannot_be_closed_is_named_and_the_run_is_done(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    def failing(self: Any) -> None:
        raise SystemExit("not today")

    monkeypatch.setattr(Counter, "close", failing)
    outcome, _ = _run(example, tmp_path)
    assert outcome.stages[-1].stage == "evaluate"
    assert any(
        "sitkit-example" in text and "close failed with SystemExit: not today" in text for text in outcome.notices
    )


def test_an_answer_that_is_no_text_never_gets_into_the_journal(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.teacher import Speller

    with monkeypatch.context() as patch:
        patch.setattr(Speller, "answer", lambda *_: iter([("train-cup", None)]))
        with pytest.raises(PluginError, match="in place of"):
            _run(example, tmp_path)
    outcome, _ = _run(example, tmp_path)
    assert outcome.stages[0].info["answered"] == 14


def test_what_a_stage_had_to_tell_is_told_again_when_it_is_reused(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.teacher import Speller

    answer = Speller.answer
    monkeypatch.setattr(Speller, "answer", lambda self, asked, *rest: answer(self, asked[3:], *rest))
    first, _ = _run(example, tmp_path)
    second, _ = _run(example, tmp_path)
    for outcome in (first, second):
        notices = _results(example, outcome).notices
        assert any("3 of 14 questions were left unanswered" in text for text in notices)


def test_the_full_recipe_has_the_keys_of_the_run(example: Registry) -> None:
    plan = build_plan(RECIPE, example)
    again = recipe_from(plan.full_recipe().as_mapping(), "x")
    assert [one.key for one in build_plan(again, example).nodes] == [one.key for one in plan.nodes]


def test_how_often_checkpoints_are_written_changes_no_key(example: Registry) -> None:
    keys = [
        [one.key for one in build_plan(replace(RECIPE, settings=settings), example).nodes]
        for settings in (
            {},
            {"instruct": {"save_steps": 7}, "refine": {"save_steps": 7, "loss": "sigmoid+sft", "weights": "1+0.5"}},
        )
    ]
    assert keys[0] == keys[1]


def test_the_student_gets_the_objective_with_the_settings_laid_over_it(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    refine, seen = Counter.refine, []

    def watched(self: Any, start: Any, pairs: Any, objective: Any, *rest: Any, **more: Any) -> Any:
        seen.append(objective)
        return refine(self, start, pairs, objective, *rest, **more)

    monkeypatch.setattr(Counter, "refine", watched)
    _run(example, tmp_path, replace(RECIPE, settings={"refine": {"beta": 0.7, "loss": "hinge"}}))
    assert (seen[0].loss, seen[0].weights, seen[0].beta) == (("hinge",), (1.0,), 0.7)


def test_how_to_draw_reaches_teacher_and_student(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter
    from sitkit_example.teacher import Speller

    answer, complete = Speller.answer, Counter.complete
    drawn: dict[str, set[tuple[float, float, int]]] = {"teacher": set(), "student": set()}

    def heard(who: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *given: Any) -> Any:
            how = given[-1]
            drawn[who].add((how.temperature, how.top_p, how.top_k))
            return method(self, *given)

        return call

    monkeypatch.setattr(Speller, "answer", heard("teacher", answer))
    monkeypatch.setattr(Counter, "complete", heard("student", complete))
    settings = {
        "annotate": {"temperature": 0.5, "top_p": 0.9},
        "sample": {"temperature": 0.2, "top_p": 0.8, "top_k": 7},
        "evaluate": {"temperature": 0.1},
    }
    _run(example, tmp_path, replace(RECIPE, settings=settings))
    assert drawn == {"teacher": {(0.5, 0.9, 0)}, "student": {(0.2, 0.8, 7), (0.1, 1.0, 0)}}


def test_another_plugins_task_of_the_same_name_does_not_score_a_benchmark(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _run(example, tmp_path / "alone")
    other = tmp_path / "tasks"
    other.mkdir()
    (other / "letters_cot.yaml").write_text(
        "task: letters_cot\ncustom_dataset: !function sitkit.harness.tasks.docs\ntest_split: test\n"
        "output_type: generate_until\ndoc_to_text: always wrong\ndoc_to_target: ''\n"
        "process_results: !function sitkit.harness.tasks.process_results\ngeneration_kwargs: {until: ['x']}\n"
        "metric_list: [{metric: accuracy, aggregation: mean, higher_is_better: true}]\nmetadata: {benchmark: letters}\n"
    )
    example.task_folders[other] = "another-distribution"
    second, _ = _run(example, tmp_path / "both")
    assert _scores(example, first) == _scores(example, second)


def test_a_damaged_artifact_is_left_alone_while_another_run_makes_it_anew(example: Registry, tmp_path: Path) -> None:
    import threading

    outcome, _ = _run(example, tmp_path)
    record = next(record for record in outcome.stages if record.stage == "pair")
    path = outcome.artifacts[record.key].folder / "pairs.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    store = Store(tmp_path)
    with store.stage_lock(record.key):
        walk = threading.Thread(target=lambda: _run(example, tmp_path))
        walk.start()
        walk.join(timeout=1)
        assert path.exists()
        path.write_bytes(whole)
    walk.join()
    found = store.find("pair", record.key)
    assert found is not None
    assert path.read_bytes() == whole


def test_a_teacher_that_is_never_right_leaves_nothing_to_train_on(example: Registry, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"annotate\.keep=all"):
        _run(example, tmp_path, replace(RECIPE, teacher=("speller,slips=1",)))


def test_a_dry_run_counts_prompts_and_knows_what_is_stored(example: Registry, tmp_path: Path) -> None:
    plan, store = build_plan(replace(RECIPE, limit=5, test_limit=3), example), Store(tmp_path)
    found = dry_run(plan, store)
    assert found.prompts == sum(stage.prompts for stage in found.stages) == 2 * 5 + 2 * 5 + 3 * 2 * 3
    assert (found.stored, found.to_run) == (0, len(plan.nodes))
    assert [(stage.title, stage.key) for stage in found.stages] == [(node.title, node.key) for node in plan.nodes]
    assert not (tmp_path / "store").exists()
    run_plan(plan, store, example, lambda event: None)
    found = dry_run(plan, store)
    assert (found.stored, found.to_run, found.prompts) == (len(plan.nodes), 0, 0)


def test_a_dry_run_says_why_what_is_stored_does_not_hold(example: Registry, tmp_path: Path) -> None:
    plan, store = build_plan(RECIPE, example), Store(tmp_path)
    outcome = run_plan(plan, store, example, lambda event: None)
    record = next(record for record in outcome.stages if record.stage == "instruct")
    weights = next(path for path in (store.folder("instruct", record.key) / "adapter").rglob("*") if path.is_file())
    weights.write_bytes(b"garbage")
    reasons = {stage.stage: stage.reason for stage in dry_run(plan, store).stages if not stage.stored}
    assert str(weights) in reasons["instruct"]
    assert reasons["sample"].startswith("instruct ")
    assert weights.read_bytes() == b"garbage"


def test_an_alias_is_the_benchmark_itself_and_a_shared_factory_is_not(example: Registry) -> None:
    from sitkit_example import letters  # type: ignore[import-not-found]

    class Alias:
        @hookimpl
        def sitkit_benchmarks(self, register: Any) -> None:
            register("abc", letters, aliases=["abcdef"])
            register("xyz", letters)
            register("late", letters, aliases=["letters"])

    example.manager.register(Alias(), name="alias")
    registry = build_registry(example.manager, {**example.providers, "alias": Provider("sitkit-alias", "1")})
    assert registry.first_names("benchmark") == ["letters", "abc", "xyz", "late"]
    assert registry.first_name("benchmark", "abcdef") == "abc"
    assert registry.first_name("benchmark", "letters") == "letters"
    assert [str(one) for one in registry.broken] == [
        "sitkit-alias: sitkit_benchmarks: the benchmark name 'letters' is taken by sitkit-example"
    ]


def test_an_alias_shares_the_store_and_is_not_scored_twice() -> None:
    from sitkit.registry import load_plugins

    registry = load_plugins()
    recipe = Recipe(train_on=("openbookqa",), data_dir="/nowhere")
    with pytest.raises(RecipeError, match="names openbookqa twice"):
        build_plan(replace(recipe, train_on=("obqa", "openbookqa")), registry)
    assert "obqa" not in registry.first_names("benchmark")


def test_duplicates_can_only_be_dropped_where_a_benchmark_offers_it(example: Registry) -> None:
    with pytest.raises(RecipeError, match="letters cannot drop duplicates"):
        build_plan(replace(RECIPE, drop_duplicates=True), example)


def test_duplicates_are_dropped_from_what_is_trained_on_alone(tmp_path: Path) -> None:
    from sitkit.registry import load_plugins

    registry = load_plugins()
    for name in ("train", "validation"):
        (tmp_path / "openbookqa").mkdir(exist_ok=True)
        (tmp_path / "openbookqa" / f"{name}.jsonl").write_text("")
    recipe = Recipe(
        train_on=("obqa",),
        eval_on=("obqa", "tiny_chain"),
        data_dir=str(tmp_path),
        drop_duplicates=True,
        teacher=("gold",),
    )
    dropped, whole = (build_plan(replace(recipe, drop_duplicates=drop), registry) for drop in (True, False))
    keys = [{one.key for one in plan.nodes if one.title.startswith("evaluate baseline")} for plan in (dropped, whole)]
    assert len(keys[0]) == 2
    assert keys[0] == keys[1]
    assert dropped.annotated[0].key != whole.annotated[0].key


@pytest.mark.parametrize(
    ("settings", "pairs", "passes"),
    [
        # 420 pairs less 42 held out are 3 steps of 128.
        ({}, 420, 1000 / 3),
        ({"validation": 0.0}, 420, 250),
        ({"epochs": 2.0}, 420, 2),
        ({"epochs": 500.0}, 420, 1000 / 3),
        ({"epochs": 3.0, "max_steps": 0}, 420, 3),
        ({"max_steps": 4}, 5000, 4 / 36),
        ({}, 0, 0),
    ],
)
def test_a_dry_run_says_how_often_refining_goes_over_its_pairs(
    example: Registry, tmp_path: Path, settings: dict[str, Any], pairs: int, passes: float
) -> None:
    plan = build_plan(replace(RECIPE, settings={"refine": settings}), example)
    (stage,) = (node.stage for node in plan.nodes if isinstance(node.stage, Refine))
    assert stage.passes(pairs) == pytest.approx(passes)


def test_a_dry_run_knows_the_pairs_once_they_are_stored(example: Registry, tmp_path: Path) -> None:
    def refining(recipe: Recipe) -> PlannedStage:
        found = dry_run(build_plan(recipe, example), Store(tmp_path))
        (stage,) = (stage for stage in found.stages if stage.stage == "refine")
        return stage

    before = refining(RECIPE)
    assert (before.passes, before.pairs_known) == (1000, False)
    outcome, _ = _run(example, tmp_path)
    total = next(one.info["total"] for one in outcome.artifacts.values() if one.stage == "pair")
    assert 0 < total < before.pairs
    assert refining(RECIPE).passes == 0
    after = refining(replace(RECIPE, settings={"refine": {"batch_size": 4}}))
    assert (after.pairs, after.pairs_known) == (total, True)
    assert after.passes == pytest.approx(1000 / -(-(total - round(total / 10)) // 4))
