"""How answers are judged, and over which questions pairs are made, are settings of the stages that judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.errors import RecipeError
from sitkit.execution.executor import Outcome
from sitkit.execution.here_executor import run_plan
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.report.tables import pair_table
from sitkit.results.build import build_results
from sitkit.results.rows import StoredRows
from sitkit.store import Store
from sitkit.store.jsonl import read_dicts
from sitkit.types import Candidate, LeftOut, PreferencePair

RECIPE = Recipe(teacher=("speller,slips=4",), student=("counter",), strategy="spelled-first", train_on=("letters",))
CONTAINS = {"match": "contains"}


def _run(registry: Registry, workspace: Path, **settings: dict[str, Any]) -> tuple[Recipe, Outcome]:
    recipe = replace(RECIPE, settings=settings)
    return recipe, run_plan(build_plan(recipe, registry), Store(workspace), registry, lambda event: None)


def _rows(outcome: Outcome, stage: str, name: str) -> Iterator[dict[str, Any]]:
    for record in outcome.stages:
        if record.stage == stage:
            yield from read_dicts(outcome.artifacts[record.key].folder / name)


def _made(outcome: Outcome) -> set[str]:
    return {record.stage for record in outcome.stages if not record.reused}


@pytest.fixture
def rambling(example: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Teacher and student name every number, and end on one that is wrong."""
    from sitkit_example.student import Counter  # type: ignore[import-not-found]
    from sitkit_example.teacher import Speller  # type: ignore[import-not-found]

    said = "It may be 3 or 4, 5, 6, 7, 8 or 9. The answer is 0."
    monkeypatch.setattr(Speller, "answer", lambda self, asked, *rest: iter([(one.id, said) for one in asked]))
    monkeypatch.setattr(
        Counter, "complete", lambda self, to, asked, how: iter([(one.id, "So: " + said) for one in asked])
    )
    return example


def test_scores_are_judged_by_the_papers_containment_where_that_is_chosen(rambling: Registry, tmp_path: Path) -> None:
    settings = {"annotate": {"keep": "all"}, "pair": CONTAINS}
    _, final = _run(rambling, tmp_path, **settings)
    _, contains = _run(rambling, tmp_path, **settings, evaluate=CONTAINS)
    assert _made(contains) == {"evaluate"}
    assert {row["correct"] for row in _rows(final, "evaluate", "predictions.jsonl")} == {False}
    assert {row["correct"] for row in _rows(contains, "evaluate", "predictions.jsonl")} == {True}
    assert {row["extracted"] for row in _rows(contains, "evaluate", "predictions.jsonl")} == {"0"}


def test_demonstrations_are_judged_by_it_too_and_no_teacher_is_asked_again(
    rambling: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.teacher import Speller

    settings = {"pair": CONTAINS}
    _, final = _run(rambling, tmp_path, annotate={"keep": "all"}, **settings)
    monkeypatch.setattr(Speller, "answer", lambda self, asked, *rest: pytest.fail("the teacher was asked again"))
    _, contains = _run(rambling, tmp_path, annotate=CONTAINS, **settings)
    assert {row["correct"] for row in _rows(final, "annotate", "demonstrations.jsonl")} == {False}
    assert {row["correct"] for row in _rows(contains, "annotate", "demonstrations.jsonl")} == {True}


def test_settings_left_alone_move_no_key(example: Registry, tmp_path: Path) -> None:
    _, first = _run(example, tmp_path)
    _, again = _run(
        example, tmp_path, annotate={"match": "final"}, evaluate={"match": "final"},
        pair={"match": "final", "without_demonstration": "use"},
    )  # fmt: skip
    assert _made(again) == set()
    assert [record.key for record in first.stages] == [record.key for record in again.stages]


def _own_answers(self: object, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | LeftOut]:
    """The student's own worked answer wherever it is right, as equation 4 has it."""
    for one in candidates:
        name, benchmark = one.question.id, one.question.benchmark
        if one.cot_correct:
            yield PreferencePair(
                name, benchmark, one.question.prompt("cot"), one.answers.cot, "no", "student", True, False
            )
        else:
            yield LeftOut(name, benchmark, "wrong")


def test_pairs_are_judged_by_it_where_that_is_chosen(
    rambling: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.strategy import SpelledFirst  # type: ignore[import-not-found]

    monkeypatch.setattr(SpelledFirst, "pairs", _own_answers)
    _, contains = _run(rambling, tmp_path, annotate={"keep": "all"}, pair=CONTAINS)
    assert len(list(_rows(contains, "pair", "pairs.jsonl"))) == 14
    with pytest.raises(RecipeError, match="left no preference pair"):
        _run(rambling, tmp_path, annotate={"keep": "all"}, pair={"match": "final"})


def test_pairs_over_the_questions_that_have_a_demonstration(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.strategy import SpelledFirst

    monkeypatch.setattr(SpelledFirst, "pairs", _own_answers)
    counts = []
    for setting in ("use", "leave_out"):
        recipe, outcome = _run(example, tmp_path, pair={"without_demonstration": setting})
        results = build_results(build_plan(recipe, example), outcome, StoredRows(tmp_path))
        taught = {row["question_id"] for row in _rows(outcome, "annotate", "demonstrations.jsonl") if row["correct"]}
        pairs = [row["question_id"] for row in _rows(outcome, "pair", "pairs.jsonl")]
        (told,) = results.pairs
        assert told.total == len(pairs)
        assert told.without_demonstration == sum(name not in taught for name in pairs)
        assert told.total + told.left_out == told.questions
        counts.append(told)
        table = pair_table(results)
        said = dict(zip(table.headings, table.rows[0], strict=True))
        if setting == "use":
            assert told.without_demonstration > 0
            assert said["without a kept demonstration"] == str(told.without_demonstration)
        else:
            assert told.without_demonstration == 0
            questions = {one.id for one in example.benchmark("letters").questions("train", 0)}
            assert told.left_out_reasons["no kept demonstration"] == len(questions - taught)
            assert "no kept demonstration" in said["questions left out"]
    assert counts[1].total < counts[0].total


def test_a_share_of_the_demonstrations_is_of_those_kept_and_pairs_are_over_it_alone(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.strategy import SpelledFirst

    monkeypatch.setattr(SpelledFirst, "pairs", _anything)
    shares = (0.25, 0.5, 1.0)
    recipe = replace(RECIPE, fraction=shares, fraction_of="demonstrations", methods=("both", "refine"))
    plan = build_plan(recipe, example)
    outcome = run_plan(plan, Store(tmp_path), example, lambda event: None)
    (annotated,) = {key for arm in plan.arms for key in (node.key for node in arm.annotated)}
    kept = [row for row in _rows(outcome, "annotate", "demonstrations.jsonl") if row["correct"] and row["completion"]]
    kept = [row for row in kept if row["prompt"].endswith("step by step")]
    info = {record.key: record.info for record in outcome.stages}
    drawn: dict[str, list[set[str]]] = {"both": [], "refine": []}
    for arm in plan.arms:
        assert arm.paired is not None
        rows = read_dicts(outcome.artifacts[arm.paired.key].folder / "pairs.jsonl")
        drawn[arm.method].append({row["question_id"] for row in rows})
        if arm.method == "both":
            assert info[arm.instructed.key]["demonstrations"] == len(drawn["both"][-1])
    assert [len(ids) for ids in drawn["both"]] == [int(share * len(kept) + 0.5) for share in shares]
    assert drawn["both"] == drawn["refine"]
    assert drawn["both"][0] < drawn["both"][1] < drawn["both"][2] == {row["question_id"] for row in kept}
    assert len({arm.instructed.key for arm in plan.arms}) == len({arm.sampled for arm in plan.arms}) == 4
    # The whole is what is trained on without shares, and the shares of questions stay what they were.
    whole = build_plan(RECIPE, example)
    assert plan.arms[-2].instructed.key == whole.arms[0].instructed.key
    assert annotated == whole.arms[0].annotated[0].key
    results = build_results(plan, outcome, StoredRows(tmp_path))
    assert results.shared == "demonstrations kept"


def _anything(self: object, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | LeftOut]:
    for one in candidates:
        question = one.question
        yield PreferencePair(
            question.id, question.benchmark, question.prompt("cot"), question.target_text, "no", "target", True, False
        )


def test_a_share_that_leaves_no_demonstration_says_of_how_many(example: Registry, tmp_path: Path) -> None:
    recipe = replace(RECIPE, fraction=(0.01,), fraction_of="demonstrations")
    with pytest.raises(RecipeError, match=r"fraction 0.01 of \d+ demonstrations leaves none"):
        run_plan(build_plan(recipe, example), Store(tmp_path), example, lambda event: None)
