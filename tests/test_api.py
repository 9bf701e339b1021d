"""sitkit as a library: what `run`, `dry_run` and `load_run` return, raise and leave behind, on real small runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import sitkit
from sitkit.errors import PluginError, RecipeError, RunNotFoundError, SitkitError, StoreError, UnknownNameError
from sitkit.execution.events import Event, StageFinished, StageStarted
from sitkit.registry import Registry
from sitkit.results.accuracy import standard_error, wilson
from sitkit.results.model import Results
from sitkit.results.significance import holm
from sitkit.types import Answers, Demonstration, Prediction, PreferencePair
from tests.example_runs import PARTS, example_registry

SEEDS = {"seeds": [0, 1]}
CELL = {
    "student", "teacher", "strategy", "method", "fraction", "phase", "train_on", "refine_on", "benchmark", "domain",
    "transfer", "prompting",
}  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with example_registry() as registry:
        yield registry


@pytest.fixture(scope="module")
def done(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> sitkit.RunResults:
    """A run of two seeds."""
    workspace = tmp_path_factory.mktemp("api") / "w"
    return sitkit.run(PARTS, workspace=workspace, name="two", registry=registry, **SEEDS)


def _found(results: Results) -> Results:
    """What was found, however its stages came about."""
    return replace(results, stages=(), digest="")


def _columns(frame: Any, expected: set[str], documented: Callable[..., Any]) -> None:
    assert set(frame.columns) == expected
    assert len(frame) > 0
    words = " ".join((documented.__doc__ or "").replace(",", " ").replace(".", " ").split()).split(" ")
    assert "key" not in expected or "key" in words


def test_keywords_are_the_recipes_and_win_over_it(registry: Registry, tmp_path: Path) -> None:
    found = sitkit.run(PARTS | {"limit": 9}, workspace=tmp_path, limit=4, test_limit=3, registry=registry)
    assert (found.recipe["limit"], found.recipe["test_limit"]) == (4, 3)
    assert {cell.n for cell in found.data.cells} == {3}
    assert [given.asked for given in found.data.demonstrations] == [4]
    assert found.folder.parent == tmp_path / "runs"
    assert found.folder.is_absolute()


def test_a_recipe_is_a_mapping_a_file_or_a_recipe(done: sitkit.RunResults, registry: Registry) -> None:
    workspace, path = done.folder.parents[1], done.folder / "recipe.yaml"
    for recipe in (path, str(path), done.recipe):
        found = sitkit.dry_run(recipe, workspace=workspace, registry=registry)
        assert (found.stored, found.to_run) == (len(done.data.stages), 0)


def test_a_run_with_a_name_lies_under_it_and_the_same_call_again_reuses_all(
    done: sitkit.RunResults, registry: Registry
) -> None:
    assert done.name == "two"
    assert done.folder.name == "two"
    events: list[Event] = []
    again = sitkit.run(
        PARTS, workspace=done.folder.parents[1], name="again", registry=registry, progress=events.append, **SEEDS
    )
    assert _found(again.data) == _found(done.data)
    assert {event.reused for event in events if isinstance(event, StageFinished)} == {True}


def test_a_dry_run_counts_what_a_run_does_and_writes_nothing(
    done: sitkit.RunResults, registry: Registry, tmp_path: Path
) -> None:
    planned = sitkit.dry_run(PARTS, workspace=tmp_path / "w", registry=registry, **SEEDS)
    assert {(stage.stage, stage.key) for stage in planned.stages} == {
        (stage.stage, stage.key) for stage in done.data.stages
    }
    assert (planned.stored, planned.to_run) == (0, len(done.data.stages))
    # 14 questions for the teacher to teach; each of two seeds samples 14 twice; 5 students answer 14 twice; and the
    # teacher answers the 14 test questions.
    assert planned.prompts == sum(stage.prompts for stage in planned.stages) > 14 + 2 * 28 + 5 * 28
    assert planned.estimate is None
    assert not (tmp_path / "w").exists()


def test_a_loaded_run_is_what_the_run_returned(done: sitkit.RunResults, registry: Registry) -> None:
    loaded = sitkit.load_run(done.folder, registry=registry)
    assert loaded.data == done.data
    assert repr(loaded) == repr(done)
    assert "two" in repr(done)
    assert loaded.warnings == done.warnings != []


def test_scores_are_a_row_for_each_cell_and_seed(done: sitkit.RunResults) -> None:
    frame = done.scores()
    _columns(
        frame,
        CELL | {"seed", "accuracy", "stderr", "n", "unread", "worked", "truncated", "finished_accuracy", "key"},
        type(done).scores,
    )
    assert len(frame) == sum(len(cell.seeds) for cell in done.data.cells)
    taught = frame[(frame.phase == "refine") & (frame.prompting == "cot")]
    assert sorted(taught.seed) == [0, 1]
    assert list(taught.train_on) == ["letters", "letters"]
    assert taught.accuracy.between(0, 1).all()


def test_cells_are_a_row_each_with_the_errors_by_name(done: sitkit.RunResults) -> None:
    frame = done.cells()
    numbers = {"accuracy", "over_questions", "over_seeds", "deviation", "n", "seeds", "unread", "worked"}
    more = {"low", "high", "truncated", "worked_accuracy", "other_accuracy", "finished_accuracy"}
    _columns(frame, CELL | numbers | more, type(done).cells)
    means = done.scores().groupby(["phase", "prompting"]).accuracy.mean()
    for _, row in frame.iterrows():
        assert row.accuracy == pytest.approx(means[row.phase, row.prompting])
        assert (row.low, row.high) == wilson(row.accuracy, row.n)
    for score in done.data.teacher_scores:
        assert score.stderr == standard_error(score.value, score.n) > 0


def test_changes_are_later_minus_earlier(done: sitkit.RunResults) -> None:
    frame = done.changes()
    numbers = {"before", "change", "style", "skill", "low", "high", "gained", "lost", "p", "holm", "certain"}
    _columns(frame, CELL | numbers, type(done).changes)
    cells = done.cells().set_index(["phase", "prompting"]).accuracy
    for _, row in frame.iterrows():
        difference = cells[row.phase, row.prompting] - cells[row.before, row.prompting]
        assert row.change == pytest.approx(difference)
        assert row.style + row.skill == pytest.approx(difference)
        assert row.low <= row.change <= row.high
    # Of one run all tests are one family.
    assert list(frame.holm) == holm(list(frame.p))
    assert any(frame.holm > frame.p)
    assert list(frame.before.unique()) == ["baseline", "instruct"]


@pytest.mark.parametrize(
    ("name", "kind", "more"),
    [
        ("demonstrations", Demonstration, {"key"}),
        ("samples", Answers, {"key"}),
        ("pairs", PreferencePair, {"key"}),
        ("answers", Prediction, {"key", "phase"}),
    ],
)
def test_rows_have_the_fields_of_their_type(done: sitkit.RunResults, name: str, kind: Any, more: set[str]) -> None:
    method = getattr(type(done), name)
    frame = method(done)
    assert f"`sitkit.types.{kind.__name__}`" in method.__doc__
    _columns(frame, {field.name for field in fields(kind)} | more, method)
    stored = {stage.key for stage in done.data.stages}
    assert set(frame.key) <= stored


def test_answers_and_scores_agree(done: sitkit.RunResults) -> None:
    right = done.answers().groupby(["key", "prompting"]).correct.mean()
    for _, row in done.scores().iterrows():
        assert right[row.key, row.prompting] == pytest.approx(row.accuracy)


def test_a_training_that_logs_nothing_has_no_curve(done: sitkit.RunResults) -> None:
    assert len(done.training()) == 0


def test_rows_that_are_gone_say_what_to_do(registry: Registry, tmp_path: Path) -> None:
    found = sitkit.run(PARTS, workspace=tmp_path, registry=registry)
    (pairs,) = found.data.pairs
    (next((tmp_path / "store" / "pair").glob(f"{pairs.key[:8]}*")) / "pairs.jsonl").unlink()
    with pytest.raises(RunNotFoundError, match=r"pairs\.jsonl: it is not there any more.*run the recipe again"):
        found.pairs()
    assert len(found.answers()) > 0


def test_the_report_is_shown_in_a_frame_of_its_own_and_printed_as_text(done: sitkit.RunResults) -> None:
    report = done.report()
    shown = report._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    # Nothing of the page leaves the attribute: one element, and no quote within.
    assert shown.count("<") == 2
    assert shown.count('"') == 4
    assert str(report) == report.markdown == (done.folder / "report.md").read_text(encoding="utf-8")
    assert "# two" in str(report)


def test_figures_are_matplotlibs_own(done: sitkit.RunResults) -> None:
    from matplotlib.figure import Figure

    found = done.figures()
    assert any(name.startswith("phases") for name in found)
    assert all(isinstance(figure, Figure) for figure in found.values())


def test_a_student_that_cannot_be_handed_out_says_what_can(done: sitkit.RunResults, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"counter.*use export\(\)"):
        done.student()
    folder = done.export(tmp_path / "out")
    assert (folder / "counter.json").is_file()
    with pytest.raises(RecipeError, match="no such refine student"):
        done.export(tmp_path / "other", seed=7)


@pytest.mark.parametrize(
    ("keywords", "kind", "said"),
    [
        ({"studnet": "counter"}, RecipeError, "student"),
        ({"student": "countr"}, UnknownNameError, "did you mean 'counter'"),
        ({"limit": 0}, RecipeError, "limit"),
        ({"limit": "many"}, RecipeError, "limit"),
        ({"fraction": 2.0}, RecipeError, "fraction"),
        ({"name": "../up"}, RecipeError, "letters, digits"),
        ({"executor": "nowhere"}, UnknownNameError, "nowhere"),
        ({"set": {"refine": {"betta": 1}}}, SitkitError, "did you mean 'beta'"),
        ({"recipe": "none.yaml"}, RecipeError, r"none\.yaml"),
    ],
)
def test_what_is_wrong_is_one_line_of_our_errors(
    registry: Registry, tmp_path: Path, keywords: dict[str, Any], kind: type[SitkitError], said: str
) -> None:
    recipe = keywords.pop("recipe", PARTS)
    with pytest.raises(kind, match=said) as raised:
        sitkit.run(recipe, workspace=tmp_path / "w", registry=registry, **keywords)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "w" / "runs").exists()


def test_a_workspace_that_cannot_be_is_an_error_of_ours(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        sitkit.run(PARTS, workspace=tmp_path / "file", registry=registry)
    with pytest.raises(RunNotFoundError, match="no finished run"):
        sitkit.load_run(tmp_path / "runs" / "none", registry=registry)


def test_a_teacher_that_breaks_is_named(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    monkeypatch.setattr(Speller, "answer", lambda *_: 1 / 0)
    with pytest.raises(PluginError, match=r"speller.*ZeroDivisionError"):
        sitkit.run(PARTS, workspace=tmp_path, registry=registry)


def test_nothing_is_printed(registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = sitkit.run(PARTS, workspace=tmp_path, limit=6, registry=registry)
    for read in (found.scores, found.changes, found.answers, found.figures, found.report):
        read()
    sitkit.load_run(found.folder, registry=registry)
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_when_asked_for(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sitkit.run(PARTS, workspace=tmp_path, limit=6, registry=registry, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "instruct" in shown.err


@pytest.mark.parametrize("stage", ["annotate", "refine", "evaluate"])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    done: sitkit.RunResults, registry: Registry, tmp_path: Path, stage: str
) -> None:
    def stopping(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sitkit.run(PARTS, workspace=tmp_path, name="two", registry=registry, progress=stopping, **SEEDS)
    assert (tmp_path / "runs" / "two" / "recipe.yaml").is_file()
    finished = sitkit.dry_run(PARTS, workspace=tmp_path, registry=registry, **SEEDS).stored
    events: list[Event] = []
    found = sitkit.run(PARTS, workspace=tmp_path, name="two", registry=registry, progress=events.append, **SEEDS)
    assert sum(event.reused for event in events if isinstance(event, StageFinished)) == finished
    assert _found(found.data) == _found(done.data)


def test_two_runs_in_threads_find_what_each_finds_alone(
    done: sitkit.RunResults, registry: Registry, tmp_path: Path
) -> None:
    found: dict[str, sitkit.RunResults] = {}

    def run(name: str, **keywords: Any) -> None:
        found[name] = sitkit.run(PARTS, workspace=tmp_path / "w", name=name, registry=registry, **keywords)

    threads = [
        threading.Thread(target=run, args=("two",), kwargs=SEEDS),
        threading.Thread(target=run, args=("few",), kwargs={"limit": 5}),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    alone = sitkit.run(PARTS, workspace=tmp_path / "alone", name="few", registry=registry, limit=5)
    assert _found(found["two"].data) == _found(done.data)
    assert _found(found["few"].data) == _found(alone.data)
