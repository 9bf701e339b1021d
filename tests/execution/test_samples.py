"""Several answers to a question: drawn, judged, handed to the strategy, paired as often as it likes, stored."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.cli.show import show_dry_run
from sitkit.errors import PluginError, RecipeError, SettingError
from sitkit.execution.dry_run import dry_run
from sitkit.execution.events import StageProgress
from sitkit.execution.here_executor import run_plan
from sitkit.plan import Plan, build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.report.markdown import markdown
from sitkit.results.build import build_results
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.stages.sample import SAMPLES, Sample
from sitkit.store import Store
from sitkit.types import Answers, Candidate, LeftOut, PreferencePair, Prompt, Question, SampledAnswer, TrainingRow

SETTINGS = {"sample": {"samples": 4, "temperature": 0.8}}
RECIPE = Recipe(
    teacher=("speller",),
    student=("counter",),
    strategy="spelled-samples",
    train_on=("letters",),
    settings=SETTINGS,
)


def run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Results, StoredRows]:
    plan = build_plan(recipe, registry)
    stored = StoredRows(workspace)
    return build_results(plan, run_plan(plan, Store(workspace), registry, lambda event: None), stored), stored


def pairs_of(results: Results, stored: StoredRows) -> list[dict[str, Any]]:
    (lesson,) = results.arms[0].lessons
    assert lesson.pair
    return stored.rows("pair", lesson.pair) or []


def drawn(results: Results, stored: StoredRows) -> list[dict[str, Any]]:
    (key,) = results.arms[0].lessons[0].sample
    return stored.rows("sample", key, SAMPLES) or []


def test_every_answer_is_stored_and_the_first_are_where_they_were(example: Registry, tmp_path: Path) -> None:
    results, stored = run(example, tmp_path)
    rows = drawn(results, stored)
    asked = Counter((row["question_id"], row["prompting"]) for row in rows)
    assert len(asked) == 28
    assert set(asked.values()) == {4}
    (key,) = results.arms[0].lessons[0].sample
    first = {row["question_id"]: (row["direct"], row["cot"]) for row in stored.rows("sample", key) or ()}
    by_question = {(row["question_id"], row["prompting"]): row["text"] for row in rows if row["sample"] == 0}
    assert first == {name: (by_question[name, "direct"], by_question[name, "cot"]) for name in first}


def test_a_dry_run_claims_no_most_of_pairs_that_are_not_chosen_yet(
    example: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(recipe: Recipe) -> str:
        show_dry_run(dry_run(build_plan(recipe, example), Store(tmp_path)))
        return " ".join(capsys.readouterr().out.split())

    recipe = replace(RECIPE, settings={"sample": {"samples": 8, "temperature": 1.0}})
    assert "about 1,000 passes over 14 pairs if each question gives one." in told(recipe)
    results, stored = run(example, tmp_path, recipe)
    assert (total := len(pairs_of(results, stored))) > 14
    again = replace(recipe, settings={**recipe.settings, "refine": {"beta": 0.3}})
    assert f"makes 1,000 passes over {total} pairs." in told(again)


def test_each_answer_has_noise_of_its_own(example: Registry, tmp_path: Path) -> None:
    results, stored = run(example, tmp_path)
    texts: dict[str, set[str]] = {}
    for row in drawn(results, stored):
        if row["prompting"] == "cot" and "-" in row["text"]:
            texts.setdefault(row["question_id"], set()).add(row["text"])
    assert max(map(len, texts.values())) > 1


def test_the_first_answers_do_not_depend_on_how_many_are_drawn(example: Registry, tmp_path: Path) -> None:
    several, stored = run(example, tmp_path)
    alone = replace(RECIPE, strategy="spelled-first", settings={"sample": {"temperature": 0.8}})
    one, _ = run(example, tmp_path, alone)
    ours, theirs = (found.arms[0].lessons[0].sample[0] for found in (several, one))
    assert ours != theirs
    assert stored.rows("sample", ours) == stored.rows("sample", theirs)


def test_a_question_gives_as_many_pairs_as_the_strategy_likes(example: Registry, tmp_path: Path) -> None:
    results, stored = run(example, tmp_path)
    by_question: dict[str, dict[bool, set[str]]] = {}
    for row in drawn(results, stored):
        if row["prompting"] == "cot":
            count = len(row["question_id"].removeprefix("train-"))
            right = row["text"].endswith(f"is {count}")
            by_question.setdefault(row["question_id"], {True: set(), False: set()})[right].add(row["text"])
    wanted = {(name, good, bad) for name, found in by_question.items() for good in found[True] for bad in found[False]}
    made = pairs_of(results, stored)
    assert {(row["question_id"], row["chosen"], row["rejected"]) for row in made} == wanted
    assert len(made) == len(wanted) > len({name for name, _, _ in wanted})
    (pairs,) = results.pairs
    assert pairs.left_out == 14 - len({name for name, _, _ in wanted})
    assert f"| {len(made)} |" in markdown(results, "samples")


def test_rows_without_a_rejected_side_are_learnt(example: Registry, tmp_path: Path) -> None:
    results, stored = run(example, tmp_path, replace(RECIPE, strategy="spelled-samples,alone=yes"))
    made = pairs_of(results, stored)
    assert made
    assert {row["rejected"] for row in made} == {""}
    assert not any(row["rejected_correct"] or row["rejected_truncated"] for row in made)
    (refined,) = [one for one in results.training if one.stage == "refine"]
    assert refined.examples == len(made)


def test_rows_without_a_rejected_side_need_a_loss_without_one(example: Registry, tmp_path: Path) -> None:
    recipe = replace(RECIPE, strategy="spelled-samples,alone=yes", settings={**SETTINGS, "refine": {"loss": "sigmoid"}})
    with pytest.raises(RecipeError, match=r"to learn without one to reject.*refine.loss=sigmoid cannot"):
        run(example, tmp_path, recipe)


def test_equal_answers_are_not_drawn_in_silence(example: Registry) -> None:
    with pytest.raises(SettingError, match=r"sample.samples=4 at sample.temperature=0 .* above 0"):
        build_plan(replace(RECIPE, settings={"sample": {"samples": 4}}), example)


Chosen = Callable[[Candidate], Sequence[object]]


def choose(monkeypatch: pytest.MonkeyPatch, rule: Chosen) -> None:
    from sitkit_example.strategy import SpelledSamples  # type: ignore[import-not-found]

    def pairs(self: Any, candidates: Sequence[Candidate]) -> Iterator[object]:
        for candidate in candidates:
            yield from rule(candidate)

    monkeypatch.setattr(SpelledSamples, "pairs", pairs)


def left_out(one: Candidate) -> LeftOut:
    return LeftOut(one.question.id, one.question.benchmark, "because")


def pair(one: Candidate, chosen: str, rejected: str) -> PreferencePair:
    right = one.demonstration is not None and chosen == one.demonstration.completion
    return PreferencePair(
        one.question.id, one.question.benchmark, one.question.prompt("cot"), chosen, rejected, "teacher", right, False
    )


def shown(one: Candidate) -> str:
    return "" if one.demonstration is None else one.demonstration.completion


@pytest.mark.parametrize(
    "rule",
    [
        lambda one: [left_out(one), left_out(one)],
        lambda one: [left_out(one), pair(one, shown(one), "The answer is 99")],
        lambda one: [pair(one, shown(one), "The answer is 99"), left_out(one)],
    ],
)
def test_a_question_is_left_out_or_it_is_not(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Chosen
) -> None:
    choose(monkeypatch, rule)
    with pytest.raises(PluginError, match="which is left out, and given another time"):
        run(example, tmp_path)


def test_a_pair_of_the_same_text_counts_only_where_it_is_all_there_is(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(one: Candidate) -> Sequence[object]:
        same = pair(one, shown(one), shown(one))
        return [same, pair(one, shown(one), "The answer is 99")] if one.question.id < "train-l" else [same]

    choose(monkeypatch, rule)
    results, stored = run(example, tmp_path)
    (pairs,) = results.pairs
    assert pairs.left_out_reasons == {"same text": 14 - pairs.total}
    assert 0 < pairs.total == len(pairs_of(results, stored)) < 14
    assert any(f"{pairs.total} pairs say the same on both sides" in text for text in results.notices)


def test_a_cut_sample_is_never_right_and_never_chosen(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter as Student

    complete = Student.complete

    def cut(self: Any, *arguments: Any) -> Iterator[Any]:
        for one in complete(self, *arguments):
            yield replace(one, truncated="#2|" in one.id, text=f"{one.text} or so" if "#2|" in one.id else one.text)

    monkeypatch.setattr(Student, "complete", cut)
    seen: list[Candidate] = []
    choose(monkeypatch, lambda one: [seen.append(one) or left_out(one)])  # type: ignore[func-returns-value]
    with pytest.raises(RecipeError, match="left no preference pair"):
        run(example, tmp_path / "one")
    cut_ones = [sample for one in seen for sample in one.samples if sample.truncated]
    assert len(cut_ones) == 28
    assert not any(sample.correct for sample in cut_ones)

    def greedy(one: Candidate) -> Sequence[object]:
        bad = next(sample.text for sample in one.samples if sample.truncated and sample.prompting == "cot")
        return [TrainingRow(one.question.id, one.question.benchmark, one.question.prompt("cot"), bad, "student", False)]

    choose(monkeypatch, greedy)
    with pytest.raises(PluginError, match=r"chose an answer .* that was cut"):
        run(example, tmp_path / "other")


@pytest.mark.parametrize("samples", [1, 3])
def test_what_no_answer_got_right_is_asked_again_with_its_target(
    samples: int, example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter as Student

    complete, asked = Student.complete, list[Prompt]()

    def given_away(self: Any, adapter: Any, prompts: Sequence[Prompt], *rest: Any) -> Iterator[Any]:
        asked.extend(prompts)
        for one, prompt in zip(complete(self, adapter, prompts, *rest), prompts, strict=True):
            target = re.search(r"\(The answer is (.+)\.\)", prompt.text)
            # Every other hint is of no use.
            used = target is not None and len(asked) % 2 == 0
            yield replace(one, text=f"Because. The answer is {target[1]}.") if used and target else one

    monkeypatch.setattr(Student, "complete", given_away)
    seen: list[Candidate] = []
    choose(monkeypatch, lambda one: [seen.append(one) or left_out(one)])  # type: ignore[func-returns-value]
    recipe = replace(RECIPE, settings={"sample": {"samples": samples, "temperature": 0.8, "hints": True}})
    with pytest.raises(RecipeError, match="left no preference pair"):
        run(example, tmp_path, recipe)
    hints = {one.id: one.text for one in asked if one.id.startswith("hinted|")}
    missed = [one for one in seen if not one.own("cot", correct=True)]
    assert 0 < len(missed) == len(hints) < len(seen)
    for one in seen:
        hinted = [sample for sample in one.samples if sample.hinted]
        assert len(hinted) == (one in missed)
        assert len(one.samples) == 2 * samples + len(hinted)
        if hinted:
            told = hints[f"hinted|{one.question.benchmark}|{one.question.id}"]
            assert f"{one.question.question} (The answer is {one.question.target}.)" in told
            assert hinted == one.own("cot", correct=hinted[0].correct, hinted=True)
            assert hinted[0] not in one.own("cot", correct=hinted[0].correct)


def hinting(registry: Registry, samples: int = 1) -> Plan:
    settings = {"sample": {"samples": samples, "temperature": 0.8, "hints": True}}
    return build_plan(replace(RECIPE, settings=settings), registry)


def test_a_stage_says_that_it_gives_hints_and_counts_the_prompts_that_are_sure(example: Registry) -> None:
    (with_hints,) = [node.stage for node in hinting(example, 3).nodes if isinstance(node.stage, Sample)]
    (without,) = [node.stage for node in build_plan(RECIPE, example).nodes if isinstance(node.stage, Sample)]
    assert with_hints.label() == f"{without.label().replace('4 samples', '3 samples')} with hints"
    assert with_hints.prompts() == 14 * 2 * 3


def test_the_progress_of_hints_goes_on_where_the_questions_ended(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, lambda one: [pair(one, shown(one), "The answer is 99")])
    plan, told = hinting(example), list[tuple[int, int]]()

    def listen(event: object) -> None:
        if isinstance(event, StageProgress) and event.stage.stage == "sample":
            told.append((event.done, event.total))

    made = run_plan(plan, Store(tmp_path), example, listen)
    (sampled,) = [made.artifacts[node.key] for node in plan.nodes if isinstance(node.stage, Sample)]
    hints = int(str(sampled.info["hinted"]))
    assert hints
    assert told == [(done, 28) for done in range(29)] + [(28 + done, 28 + hints) for done in range(hints + 1)]


def test_a_cut_answer_to_a_hint_is_not_the_students_own_and_not_chosen_either(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter as Student

    complete = Student.complete

    def cut(self: Any, *arguments: Any) -> Iterator[Any]:
        for one in complete(self, *arguments):
            hinted = one.id.startswith("hinted|")
            yield replace(one, truncated=True, text=f"Hinted: {one.text}") if hinted else one

    monkeypatch.setattr(Student, "complete", cut)

    def cut_of(one: Candidate) -> list[str]:
        return [sample.text for sample in one.samples if sample.hinted]

    def rejecting(one: Candidate) -> Sequence[object]:
        return [pair(one, shown(one), text) for text in cut_of(one)] or [left_out(one)]

    choose(monkeypatch, rejecting)
    plan = hinting(example)
    results = build_results(plan, run_plan(plan, Store(tmp_path), example, lambda event: None), StoredRows(tmp_path))
    (pairs,) = results.pairs
    assert pairs.truncated == 0
    assert pairs.rejected_truncated == pairs.total > 0

    def choosing(one: Candidate) -> Sequence[object]:
        prompt = one.question.prompt("cot")
        rows = [
            TrainingRow(one.question.id, one.question.benchmark, prompt, text, "student", False) for text in cut_of(one)
        ]
        return rows or [left_out(one)]

    choose(monkeypatch, choosing)
    with pytest.raises(PluginError, match=r"chose an answer .* that was cut"):
        run_plan(hinting(example), Store(tmp_path / "other"), example, lambda event: None)


def test_hints_are_off_and_then_in_no_key(example: Registry) -> None:
    def keys(**settings: Any) -> list[str]:
        plan = build_plan(replace(RECIPE, settings={"sample": {"samples": 2, "temperature": 0.8, **settings}}), example)
        return [node.key for node in plan.nodes if isinstance(node.stage, Sample)]

    assert keys() == keys(hints=False) != keys(hints=True)


QUESTION = Question("q", "b", "number", "Count.", "How many?", None, "3")


def test_a_candidate_made_of_two_answers_has_them_as_samples() -> None:
    answers = Answers("q", "b", direct="3", cot="a-b-c. 3", cot_truncated=True)
    one = Candidate(QUESTION, answers, None, direct_correct=True, cot_correct=False)
    assert one.samples == (SampledAnswer("direct", "3", True), SampledAnswer("cot", "a-b-c. 3", False, True))


def test_own_answers_are_different_texts_that_say_something() -> None:
    samples = tuple(
        SampledAnswer("cot", text, right)
        for text, right in [("one 3", True), ("one 3 ", True), ("", False), ("two 3", True), ("4", False)]
    )
    one = Candidate(QUESTION, Answers("q", "b", "x", "one 3"), None, False, True, samples)
    assert [sample.text for sample in one.own("cot", correct=True)] == ["one 3", "two 3"]
    assert [sample.text for sample in one.own("cot", correct=False)] == ["4"]
    assert one.own("direct", correct=True) == []
