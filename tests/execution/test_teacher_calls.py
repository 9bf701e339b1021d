"""A teacher whose replies may fail: kept before they count, asked again by the next run, money watched."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import PluginError, RecipeError, TeacherError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.events import Event, StageStarted
from sitkit.execution.executor import Outcome
from sitkit.execution.here_executor import run_plan
from sitkit.hookspecs import hookimpl
from sitkit.plan import build_plan
from sitkit.providers import Provider
from sitkit.recipe import Recipe
from sitkit.registry import Registry, build_registry
from sitkit.results.build import build_results
from sitkit.results.contradictions import contradiction
from sitkit.results.model import Results, Usage
from sitkit.results.rows import StoredRows
from sitkit.store import Store
from sitkit.store.jsonl import read_rows
from sitkit.types import Demonstration, Estimate, Generation, Json, Prompt, Question, Reply

RECIPE = Recipe(
    teacher=("moody",), student=("counter",), strategy="spelled-first", train_on=("letters",), eval_teacher=False
)
PRICE = 0.5


class Moody:
    """Spells like the example's teacher, but fails, thinks aloud and is cut off as told; half a dollar each."""

    def __init__(self, speller: Any) -> None:
        self.speller = speller
        self.failing: set[str] = set()
        self.cut: set[str] = set()
        self.down = False
        self.asked: list[str] = []
        self.budgets: list[float | None] = []
        self.lost = 0.0
        self.begun = 0
        self.folders: list[Path] = []

    def fingerprint(self) -> Json:
        return {"teacher": "moody"}

    def answer(self, questions: Sequence[Question], prompting: Any, generation: Generation) -> Iterator[Reply]:
        if self.down:
            raise TeacherError("the endpoint is down")
        for question, (name, text) in zip(
            questions, self.speller.answer(questions, prompting, generation), strict=True
        ):
            self.asked.append(name)
            if name in self.failing:
                yield Reply(name, outcome="time-out", detail="nothing after 60 s", prompt_tokens=1)
            else:
                outcome = "truncated" if question.id in self.cut else "answered"
                yield Reply(name, text, outcome, reasoning="hm", prompt_tokens=1, completion_tokens=1)

    def estimate(self, prompts: Sequence[Prompt], generation: Generation) -> Estimate:
        return Estimate(len(prompts), len(prompts), len(prompts), PRICE * len(prompts))

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        return PRICE * prompt_tokens

    def begin(self, folder: Path, *, budget: float | None) -> None:
        self.folders.append(folder)
        self.budgets.append(budget)
        self.begun = len(self.asked)

    def spent(self) -> float:
        return self.lost + PRICE * len(self.asked[self.begun :])

    def close(self) -> None:
        pass


@pytest.fixture
def moody(example: Registry) -> tuple[Registry, Moody]:
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    teacher = Moody(Speller(0))

    class Plugin:
        @hookimpl
        def sitkit_teachers(self, register: Any) -> None:
            register("moody", lambda spec, context: teacher)

    example.manager.register(Plugin(), name="moody")
    return build_registry(example.manager, {**example.providers, "moody": Provider("sitkit-moody", "1")}), teacher


def _run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    return run_plan(build_plan(recipe, registry), Store(workspace), registry, events.append), events


def _results(registry: Registry, outcome: Outcome, recipe: Recipe) -> Results:
    workspace = next(iter(outcome.artifacts.values())).folder.parents[2]
    return build_results(build_plan(recipe, registry), outcome, StoredRows(workspace))


def _few(**settings: Any) -> Recipe:
    return replace(RECIPE, settings={"annotate": {"max_failures": 0.2, **settings}})


def test_failed_replies_are_listed_and_only_they_are_asked_again(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    teacher.failing = {"train-cup", "train-map"}
    first, _ = _run(registry, tmp_path, _few())
    annotated = first.stages[0]
    assert (annotated.info["failed"], annotated.info["answered"]) == (2, 12)
    assert any("2 of 14 replies failed (2 time-out)" in text for text in first.notices)
    rows = [json.loads(line) for line in (first.artifacts[annotated.key].folder / "failures.jsonl").open()]
    assert rows == [
        {"question_id": name, "outcome": "time-out", "detail": "nothing after 60 s"}
        for name in ("train-cup", "train-map")
    ]

    teacher.failing, teacher.asked = set(), []
    second, _ = _run(registry, tmp_path, _few())
    assert sorted(teacher.asked) == ["train-cup", "train-map"]
    assert second.stages[0].info["failed"] == 0
    # Two more demonstrations: what was made from the earlier ones is made again, what was not is not.
    made = [record.stage for record in second.stages if not record.reused]
    assert made[:4] == ["annotate", "instruct", "sample", "evaluate"]
    assert "baseline letters" in [record.label for record in second.stages if record.reused]

    calm, _ = _run(registry, tmp_path / "calm", _few())
    scores = [_results(registry, outcome, _few()).cells for outcome in (second, calm)]
    assert scores[0] == scores[1]
    # A failed attempt was paid for too.
    usage = _results(registry, second, _few()).usage
    assert usage == Usage(prompt_tokens=16, completion_tokens=14, cost=8.0)


def test_failures_that_stay_leave_everything_as_it_was(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    teacher.failing = {"train-cup"}
    _run(registry, tmp_path, _few())
    again, _ = _run(registry, tmp_path, _few())
    assert [record.stage for record in again.stages if not record.reused] == ["annotate"]
    teacher.down = True
    down, _ = _run(registry, tmp_path, _few())
    assert all(record.reused for record in down.stages)
    assert any("the endpoint is down" in text and "stays as it was" in text for text in down.notices)


def test_too_many_failures_stop_the_run_and_lose_no_answer(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    teacher.failing = {"train-cup", "train-map", "train-pear"}
    with pytest.raises(
        TeacherError, match=r"2 of 14 replies failed \(2 time-out\), more than annotate.max_failures=0.1"
    ):
        _run(registry, tmp_path)
    answered = [name for name in teacher.asked if name not in teacher.failing]
    teacher.failing, teacher.asked = set(), []
    _run(registry, tmp_path)
    assert not set(answered) & set(teacher.asked)


def test_an_answer_cut_off_is_kept_and_not_trained_on(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    teacher.cut = {"train-cup"}
    outcome, _ = _run(registry, tmp_path)
    annotated, instructed = (
        next(one for one in outcome.stages if one.stage == name) for name in ("annotate", "instruct")
    )
    assert (annotated.info["truncated"], annotated.info["retry"]) == (1, False)
    assert any("1 of 14 answers ended at annotate.max_new_tokens=" in notice for notice in outcome.notices)
    assert instructed.info["demonstrations"] == annotated.info["right"] - 1
    rows = [json.loads(line) for line in (outcome.artifacts[annotated.key].folder / "demonstrations.jsonl").open()]
    assert {row["reasoning"] for row in rows} == {"hm"}
    assert not any("hm" in row["completion"] for row in rows)


def test_when_every_answer_was_cut_off_the_run_says_so(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    _run(registry, tmp_path / "calm")
    teacher.cut = set(teacher.asked)
    with pytest.raises(RecipeError, match=r"\(14 cut off\); a larger annotate\.max_new_tokens") as caught:
        _run(registry, tmp_path / "cut")
    assert "annotate.keep" not in str(caught.value)


def test_half_a_character_does_not_reach_a_tokenizer(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    right = teacher.speller.answer

    def answer(*asked: Any) -> Iterator[tuple[str, str]]:
        for name, text in right(*asked):
            yield name, f"\ud83d\ude00 \ud83d {text}"

    teacher.speller.answer = answer
    for _ in range(2):
        outcome, _ = _run(registry, tmp_path)
        rows = read_rows(outcome.artifacts[outcome.stages[0].key].folder / "demonstrations.jsonl", Demonstration)
        assert all(row.completion.startswith("\U0001f600 \ufffd ") for row in rows)
        shutil.rmtree(tmp_path / "store")
    assert len(teacher.asked) == len(rows)


def test_a_budget_counts_what_was_spent_before(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    _run(registry, tmp_path, replace(RECIPE, limit=4, max_cost=5.0))
    _run(registry, tmp_path, replace(RECIPE, limit=6, max_cost=5.0))
    # Before anybody is asked each run looks whether all is there, such as a key: that takes nothing.
    assert teacher.budgets == [5.0, 5.0, 5.0, 5.0 - 4 * PRICE]
    assert teacher.folders[1] == teacher.folders[3]


def test_money_lost_on_the_way_is_money_spent_for_the_next_benchmark(
    moody: tuple[Registry, Moody], tmp_path: Path
) -> None:
    registry, teacher = moody
    teacher.lost = 0.25
    _run(registry, tmp_path, replace(RECIPE, limit=4, max_cost=5.0, eval_teacher=True, test_limit=2))
    assert teacher.budgets[1:4] == [5.0, 5.0 - (4 * PRICE + 0.25), 5.0 - (8 * PRICE + 0.5)]


@pytest.mark.parametrize(
    "shares", [{"fraction": (0.5, 1.0)}, {"fraction": (1.0, 0.5)}, {"fraction": (0.5,), "seeds": (0, 1, 2)}]
)
def test_a_reply_that_several_shares_have_in_common_is_paid_and_counted_once(
    moody: tuple[Registry, Moody], tmp_path: Path, shares: Any
) -> None:
    registry, teacher = moody
    recipe = replace(RECIPE, max_cost=20.0, **shares)
    planned = dry_run(build_plan(recipe, registry), Store(tmp_path))
    outcome, _ = _run(registry, tmp_path, recipe)
    asked = len(teacher.asked)
    assert asked == len(set(teacher.asked))
    assert asked < sum(info.info["asked"] for info in outcome.stages if info.stage == "annotate")
    assert planned.estimate == Estimate(asked, asked, asked, asked * PRICE)
    assert sum(stage.prompts for stage in planned.stages if stage.stage == "annotate") == asked
    results = _results(registry, outcome, recipe)
    assert results.usage == Usage(prompt_tokens=asked, completion_tokens=asked, cost=asked * PRICE)
    assert contradiction(results, Store(tmp_path)) is None
    more = replace(results.usage, prompt_tokens=1000)
    assert (
        contradiction(replace(results, usage=more), Store(tmp_path)) == "what teachers used is not what the store has"
    )
    # Each stage that asks is given what the replies before it have left, and no less.
    left = [budget for budget in teacher.budgets if budget is not None and budget != 20.0]
    assert left == sorted(left, reverse=True)
    assert all(budget >= 20.0 - asked * PRICE for budget in left)

    # What was cleaned away cannot be told apart: then the stages' own numbers are added up.
    shutil.rmtree(Store(tmp_path).journals)
    told = sum(info.info["usage"]["prompt_tokens"] for info in outcome.stages if info.stage == "annotate")
    assert _results(registry, outcome, recipe).usage.prompt_tokens == told


def test_a_teacher_that_cannot_be_asked_shows_before_another_one_is_paid(
    moody: tuple[Registry, Moody], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _ = moody
    begin = Moody.begin

    def refusing(self: Moody, folder: Path, *, budget: float | None) -> None:
        begin(self, folder, budget=budget)
        raise TeacherError("no key is set")

    monkeypatch.setattr(Moody, "begin", refusing)
    asked: list[str] = []
    from sitkit_example.teacher import Speller

    monkeypatch.setattr(Speller, "answer", lambda *_: asked.append("speller"))
    with pytest.raises(TeacherError, match="no key is set"):
        _run(registry, tmp_path, replace(RECIPE, teacher=("speller", "moody")))
    assert asked == []


def test_a_dry_run_knows_what_the_journal_holds_and_what_the_rest_costs(
    moody: tuple[Registry, Moody], tmp_path: Path
) -> None:
    registry, teacher = moody
    _run(registry, tmp_path, replace(RECIPE, limit=4))
    found = dry_run(build_plan(RECIPE, registry), Store(tmp_path))
    assert found.estimate == Estimate(10, 10, 10, 10 * PRICE)
    teacher.asked = []
    assert not teacher.asked


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([Reply("train-cup", None)], "its completion is NoneType"),  # type: ignore[arg-type]
        ([Reply("train-cup", "x", prompt_tokens=-1)], "prompt_tokens is -1, expected a count"),
        ([Reply("train-cup", "x", completion_tokens=True)], "completion_tokens is True, expected a count"),
        ([Reply("train-cup", " ")], "gave an empty answer to 'train-cup'"),
        ([Reply("train-cup", "x", outcome="")], "whose outcome is '', expected a few words"),
        ([Reply(3, "x")], "its id is int"),  # type: ignore[arg-type]
        (["train-cup"], r"in place of \(id, text\) or a Reply"),
        ([("train-cup", "first"), ("train-cup", "second")], "answered 'train-cup', twice"),
    ],
)
def test_a_reply_that_makes_no_sense_is_named_and_kept_nowhere(
    moody: tuple[Registry, Moody], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[Any], said: str
) -> None:
    registry, teacher = moody
    with monkeypatch.context() as patch:
        patch.setattr(teacher, "answer", lambda *_: iter(given))
        with pytest.raises(PluginError, match=said) as caught:
            _run(registry, tmp_path, replace(RECIPE, eval_teacher=False))
    assert "sitkit-moody" in str(caught.value)
    assert "test_teacher_calls.py:" in str(caught.value)
    stored = "".join(path.read_text() for path in (tmp_path / "journals").glob("*.jsonl"))
    assert stored.count("\n") == ("twice" in said)


def test_a_free_teacher_is_scored_without_the_trigger_too_and_a_paid_one_only_when_asked(
    moody: tuple[Registry, Moody], example: Registry, tmp_path: Path
) -> None:
    registry, _ = moody
    plain = replace(RECIPE, eval_teacher=None)
    free = replace(plain, teacher=("speller",))

    def asked(recipe: Recipe) -> list[str]:
        return [one.stage.label() for one in build_plan(recipe, registry).annotated]

    assert asked(plain) == ["letters by moody"]
    assert asked(free) == ["letters by speller", "letters by speller direct"]
    everything = [
        "letters by moody",
        "letters by moody direct",
        "letters test by moody direct",
        "letters test by moody",
    ]
    assert asked(replace(plain, eval_teacher=True)) == everything
    assert asked(replace(free, eval_teacher=False)) == ["letters by speller"]
    outcome, _ = _run(registry, tmp_path, replace(plain, eval_teacher=True, test_limit=3))
    rows = _results(registry, outcome, replace(plain, eval_teacher=True, test_limit=3)).teacher_scores
    assert [(row.split, row.prompting, row.n) for row in rows] == [
        ("train", "cot", 14), ("train", "direct", 14), ("test", "direct", 3), ("test", "cot", 3)
    ]  # fmt: skip


def test_an_interrupted_retry_runs_no_other_stage(moody: tuple[Registry, Moody], tmp_path: Path) -> None:
    registry, teacher = moody
    teacher.failing = {"train-cup"}
    _run(registry, tmp_path, _few())
    _, events = _run(registry, tmp_path, _few())
    assert [event.stage.stage for event in events if isinstance(event, StageStarted)] == ["annotate"]
