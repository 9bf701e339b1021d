"""Answers cut at the length limit, from the student to the report: never chosen, counted, told."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sitkit.answers import is_correct
from sitkit.api import RunResults
from sitkit.errors import PluginError
from sitkit.execution.here_executor import run_plan
from sitkit.harness.folders import tasks_dir
from sitkit.harness.run import run_tasks
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import Registry, load_plugins
from sitkit.report.markdown import markdown
from sitkit.report.page.answers import chunks, pack
from sitkit.report.page.content import page_sections
from sitkit.report.tables import cut_table, demonstration_table, pair_table
from sitkit.report.warnings import warnings_of
from sitkit.results.build import build_results
from sitkit.results.model import Results
from sitkit.results.questions import TestQuestions
from sitkit.results.rows import StoredRows
from sitkit.stages.evaluate import repeated
from sitkit.store import Store
from sitkit.types import COT_TRIGGER, Candidate, Completion, Generation, LeftOut, Prediction, PreferencePair, Prompt
from tests.example_runs import example_registry

RECIPE = Recipe(teacher=("speller",), student=("counter",), strategy="spelled-first", train_on=("letters",))


def run(registry: Registry, workspace: Path, recipe: Recipe = RECIPE) -> tuple[Results, StoredRows]:
    plan = build_plan(recipe, registry)
    stored = StoredRows(workspace)
    return build_results(plan, run_plan(plan, Store(workspace), registry, lambda event: None), stored), stored


def is_cut(prompt_id: str, text: str) -> bool:
    """Every third answer or so, by what it says."""
    return zlib.crc32((prompt_id + text).encode()) % 3 == 0


@contextmanager
def answers_cut() -> Iterator[None]:
    """The example's student, whose answers are cut now and then."""
    from sitkit_example.student import Counter  # type: ignore[import-not-found]

    complete = Counter.complete

    def cut(self: Any, *arguments: Any) -> Iterator[Completion]:
        for given in complete(self, *arguments):
            yield replace(given, truncated=is_cut(given.id, given.text))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Counter, "complete", cut)
        yield


@pytest.fixture
def cutting(example: Registry) -> Iterator[Registry]:
    """The example plugin, whose student's answers are cut now and then."""
    with answers_cut():
        yield example


Made = tuple[Results, StoredRows, Registry]


@pytest.fixture(scope="module")
def cut_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """One run of it."""
    with example_registry() as registry, answers_cut():
        yield *run(registry, tmp_path_factory.mktemp("cut")), registry


def choose(monkeypatch: pytest.MonkeyPatch, pair: Callable[[Candidate], PreferencePair | LeftOut]) -> None:
    """Have the example's strategy choose by another rule."""
    from sitkit_example.strategy import SpelledFirst

    def pairs(self: Any, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | LeftOut]:
        return map(pair, candidates)

    monkeypatch.setattr(SpelledFirst, "pairs", pairs)


def own(candidate: Candidate, chosen: str, rejected: str, **more: Any) -> PreferencePair:
    question = candidate.question
    right = is_correct(question, rejected)
    right = right and not (rejected == candidate.answers.direct and candidate.answers.direct_truncated)
    good = is_correct(question, chosen)
    return PreferencePair(
        question.id, question.benchmark, question.prompt("cot"), chosen, rejected, "student", good, right, **more
    )


def test_it_is_known_of_every_answer_whether_it_was_cut(cut_run: Made) -> None:
    results, stored, _ = cut_run
    (key,) = results.arms[0].lessons[0].sample
    answers = stored.rows("sample", key) or []
    for row in answers:
        for prompting in ("direct", "cot"):
            name = f"{prompting}|{row['benchmark']}|{row['question_id']}"
            assert row[f"{prompting}_truncated"] == is_cut(name, row[prompting])
    assert {row["cot_truncated"] for row in answers} == {True, False}
    scored = [row for cell in results.cells for key in cell.keys for row in stored.rows("evaluate", key) or ()]
    assert {row["truncated"] for row in scored} == {True, False}


def test_a_plain_pair_is_an_answer_that_was_not_cut(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    complete = Counter.complete
    monkeypatch.setattr(
        Counter, "complete", lambda *arguments: ((given.id, given.text) for given in complete(*arguments))
    )
    results, _ = run(example, tmp_path)
    assert {cell.truncated for cell in results.cells} == {0.0}
    assert all(cell.finished_accuracy == cell.value for cell in results.cells)
    assert cut_table(results).rows == ()
    assert cut_table(results).note.startswith("None of ")


@pytest.mark.parametrize("given", [("a", "b", True), ("a", 1), Completion("a", "b", truncated="no"), "ab", None])  # type: ignore[arg-type]
def test_a_student_that_yields_something_else_is_named(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object
) -> None:
    from sitkit_example.student import Counter

    monkeypatch.setattr(Counter, "complete", lambda *arguments: iter([given]))
    with pytest.raises(PluginError, match=r"counter.*in place of a Completion or \(id, text\)"):
        run(example, tmp_path)


def test_a_run_that_was_stopped_still_knows_what_was_cut(
    cut_run: Made, cutting: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    whole, stored, _ = cut_run
    complete = Counter.complete

    def stopping(self: Any, *arguments: Any) -> Any:
        for place, given in enumerate(complete(self, *arguments)):
            if place == 10:
                raise KeyboardInterrupt
            yield given

    monkeypatch.setattr(Counter, "complete", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(cutting, tmp_path / "stopped")
    monkeypatch.setattr(Counter, "complete", complete)
    results, again = run(cutting, tmp_path / "stopped")
    assert results.cells == whole.cells
    assert all(cell.truncated for cell in whole.cells)
    for key in results.arms[0].lessons[0].sample:
        assert again.rows("sample", key) == stored.rows("sample", key)


def test_a_cut_answer_is_right_for_no_strategy_and_marked_where_it_is_rejected(
    cutting: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Candidate] = []

    def pair(candidate: Candidate) -> PreferencePair:
        seen.append(candidate)
        # The mark is the stage's to set, whatever a strategy says.
        return own(candidate, "1. The answer is 1", candidate.answers.direct, rejected_truncated=len(seen) % 2 == 0)

    choose(monkeypatch, pair)
    results, stored = run(cutting, tmp_path)
    # The same text, cut after one prompt and finished after the other, is a whole answer.
    cut = {
        one.question.id
        for one in seen
        if one.answers.direct_truncated and (one.answers.cot_truncated or one.answers.cot != one.answers.direct)
    }
    assert 0 < len(cut) < len(seen)
    assert not any(one.cot_correct for one in seen if one.answers.cot_truncated)
    assert not any(one.direct_correct for one in seen if one.answers.direct_truncated)
    rows = stored.rows("pair", results.pairs[0].key) or []
    assert {row["question_id"] for row in rows if row["rejected_truncated"]} == cut
    pairs = results.pairs[0]
    assert pairs.rejected_truncated == len(cut)
    assert pairs.truncated == sum(one.answers.direct_truncated or one.answers.cot_truncated for one in seen)
    assert pairs.fell_back == 0
    assert any("none was chosen" in text for text in warnings_of(results))


def test_a_right_answer_that_was_cut_is_right_for_no_strategy_in_either_prompting(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.benchmark import word  # type: ignore[import-not-found]
    from sitkit_example.student import Counter

    def complete(
        self: Any, adapter: Path | None, prompts: list[Prompt], generation: Generation
    ) -> Iterator[Completion]:
        return (Completion(one.id, f"The answer is {len(word(one.text))}", truncated=True) for one in prompts)

    seen: list[Candidate] = []

    def pair(candidate: Candidate) -> PreferencePair:
        seen.append(candidate)
        return own(candidate, "1. The answer is 1", "no")

    monkeypatch.setattr(Counter, "complete", complete)
    choose(monkeypatch, pair)
    run(example, tmp_path)
    assert seen
    for one in seen:
        assert is_correct(one.question, one.answers.direct)
        assert not one.direct_correct
        assert not one.cot_correct


def test_a_pair_that_takes_anothers_answer_because_the_own_was_cut_is_counted(cut_run: Made) -> None:
    results, stored, _ = cut_run
    (key,) = results.arms[0].lessons[0].sample
    cut = {row["question_id"] for row in stored.rows("sample", key) or () if row["cot_truncated"]}
    paired = {row["question_id"] for row in stored.rows("pair", results.pairs[0].key) or ()}
    assert results.pairs[0].fell_back == len(cut & paired) > 0


def test_a_strategy_that_chooses_a_cut_answer_is_refused_in_one_line(
    cutting: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, lambda candidate: own(candidate, f" {candidate.answers.cot}\n", "no"))
    with pytest.raises(PluginError) as raised:
        run(cutting, tmp_path)
    assert "spelled-first" in str(raised.value)
    assert "was cut at sample.max_new_tokens" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_report_tells_the_cut_share_and_the_accuracy_of_the_others(cut_run: Made, tmp_path: Path) -> None:
    results, stored, registry = cut_run
    for cell in results.cells:
        rows = [row for row in stored.rows("evaluate", cell.keys[0]) or () if row["prompting"] == cell.prompting]
        finished = [row["correct"] for row in rows if not row["truncated"]]
        assert cell.truncated == pytest.approx(1 - len(finished) / len(rows))
        assert cell.finished_accuracy == pytest.approx(sum(finished) / len(finished))
    worst = max(results.cells, key=lambda cell: cell.truncated)
    (warning,) = [text for text in warnings_of(results) if "evaluate.max_new_tokens" in text]
    assert "a gain may be nothing but shorter answers" in warning
    assert f"{worst.truncated:.0%} cut ({worst.value:.1%} right, finished: {worst.finished_accuracy:.1%})" in warning
    table = cut_table(results)
    assert len(table.rows) == sum(cell.truncated > 0 for cell in results.cells) > 0
    shown = (worst.phase, "letters", worst.prompting, *(f"{100 * share:.1f}" for share in (
        worst.truncated, worst.value, worst.finished_accuracy or 0.0)))  # fmt: skip
    assert shown in table.rows
    assert "## Answers cut at the length limit" in markdown(results, "name")
    frames = RunResults(tmp_path / "runs" / "name", results, registry)
    assert list(frames.cells()["truncated"]) == [cell.truncated for cell in results.cells]
    assert list(frames.scores()["finished_accuracy"]) == [cell.finished_accuracy for cell in results.cells]
    assert frames.scores()["truncated"].sum() == sum(score.truncated for cell in results.cells for score in cell.seeds)


def test_the_page_shows_the_table_and_each_cut_answer(cut_run: Made, tmp_path: Path) -> None:
    results, stored, registry = cut_run
    sections = page_sections(results, warnings=(), drawn=(), packed=pack(()), missing={}, ratings=(), added=())
    (cut,) = [section for section in sections if section.anchor == "cut"]
    (table,) = cut.content["tables"]  # type: ignore[misc]
    assert len(table["rows"]) == len(cut_table(results).rows)
    found = {chunk.name: chunk.content for chunk in chunks(results, stored, TestQuestions(results, stored, registry))}
    marks = {mark for name, rows in found.items() if name.startswith("evaluate/") for mark in rows["cot"]["truncated"]}
    assert marks == {0, 1}
    (sampled,) = [rows for name, rows in found.items() if name.startswith("sample/")]
    answers = stored.rows("sample", results.arms[0].lessons[0].sample[0]) or []
    assert sampled["cot_truncated"] == [int(row["cot_truncated"]) for row in answers]


def test_lm_evals_own_metric_is_there_within_sitkit() -> None:
    def complete(prompts: list[Prompt], generation: Generation) -> dict[str, Completion]:
        return {one.id: Completion(one.id, "The answer is 4", place < 3) for place, one in enumerate(prompts)}

    results = run_tasks(
        ["sit_tiny_chain_cot"], complete, folders=[tasks_dir()], metadata={}, limit=12, max_new_tokens=8,
        temperature=0.0, seed=0,
    )  # fmt: skip
    assert results["results"]["sit_tiny_chain_cot"]["truncated,none"] == 0.25


def test_few_cut_answers_are_no_reason_to_warn(cut_run: Made) -> None:
    results, _, _ = cut_run
    cells = tuple(replace(cell, truncated=0.05) for cell in results.cells)
    assert not any("evaluate.max_new_tokens" in text for text in warnings_of(replace(results, cells=cells)))
    cells = (replace(cells[0], truncated=0.06, finished_accuracy=None), *cells[1:])
    assert any("finished: none finished" in text for text in warnings_of(replace(results, cells=cells)))


def test_cut_demonstrations_are_shown(cut_run: Made) -> None:
    results, _, _ = cut_run
    table = demonstration_table(replace(results, demonstrations=(replace(results.demonstrations[0], truncated=3),)))
    assert table.rows[0][table.headings.index("cut")] == "3"


def test_the_table_of_pairs_counts_cut_answers_that_were_rejected_and_those_that_gave_way(cut_run: Made) -> None:
    results, _, _ = cut_run
    pairs = replace(results.pairs[0], rejected_truncated=3, fell_back=5)
    table = pair_table(replace(results, pairs=(pairs,)))
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert (row["rejected: cut"], row["own answer cut, another's chosen"]) == ("3", "5")


def test_pairs_have_a_row_for_each_arm(cutting: Registry, tmp_path: Path) -> None:
    results, _ = run(cutting, tmp_path, replace(RECIPE, fraction=(0.5, 1.0), seeds=(0, 1)))
    table = pair_table(results)
    assert len(table.rows) == len(results.arms) == 2
    by_key = {pairs.key: pairs.total for pairs in results.pairs}
    for arm, row in zip(results.arms, table.rows, strict=True):
        assert row[1] == str(sum(by_key[lesson.pair] for lesson in arm.lessons if lesson.pair))
    assert table.rows[0][0] != table.rows[1][0]
    assert pair_table(replace(results, pairs=())).rows == ()


def predictions(texts: Sequence[tuple[str, str | None]]) -> list[Prediction]:
    return [Prediction(str(at), "b", "cot", text, read, False) for at, (text, read) in enumerate(texts)]


@pytest.mark.parametrize(
    ("said", "targets", "found"),
    [
        # One text to a third, the others all different.
        ([("I cannot say", None)] * 8 + [(f"It is {n}", str(n)) for n in range(16)], "0" * 24, (8, "I cannot say")),
        ([("I cannot say", None)] * 7 + [(f"It is {n}", str(n)) for n in range(17)], "0" * 24, (0, "")),
        # Different texts, one answer.
        ([(f"{n} and so it is 4", "4") for n in range(24)], "1234" * 6, (24, "4")),
        # Fewer than 20 questions tell nothing.
        ([("It is 4", "4")] * 19, "1" * 19, (0, "")),
        # A letter that is the answer to half of the questions may be given to half of them, but not to all.
        ([("A", "A"), ("B", "B")] * 12, "AB" * 12, (0, "")),
        ([("A", "A")] * 24, "AB" * 12, (24, "A")),
        ([("A", "A")] * 24, "A" * 24, (0, "")),
    ],
)
def test_an_answer_that_is_always_the_same_is_found(
    said: list[tuple[str, str | None]], targets: str, found: tuple[int, str]
) -> None:
    assert repeated(predictions(said), {str(at): target for at, target in enumerate(targets)}) == found


def test_the_same_answer_to_every_question_is_counted_in_the_scores(
    example: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sitkit_example.student import Counter

    monkeypatch.setattr("sitkit.stages.evaluate._ENOUGH", 10)
    monkeypatch.setattr(
        Counter,
        "complete",
        lambda student, adapter, prompts, generation: (Completion(one.id, "I cannot say") for one in prompts),
    )
    results, _ = run(example, tmp_path)
    for cell in results.cells:
        assert [(score.repeated, score.repeated_answer) for score in cell.seeds] == [(14, "I cannot say")]
    assert any("“I cannot say” to 14 of 14" in text for text in warnings_of(results))


def test_nearly_constant_answers_are_told_with_the_answer(cut_run: Made) -> None:
    results, _, _ = cut_run
    assert not any("one and the same answer" in text for text in warnings_of(results))
    cell = results.cells[0]
    score = replace(cell.seeds[0], repeated=9, repeated_answer="The answer is 3")
    told = warnings_of(replace(results, cells=(replace(cell, seeds=(score,)), *results.cells[1:])))
    assert any("“The answer is 3” to 9 of 14" in text for text in told)


@pytest.mark.slow
def test_the_embedded_student_says_what_was_cut_and_none_of_it_is_chosen(tmp_path: Path) -> None:
    settings = {
        "instruct": {"epochs": 0.2},
        "sample": {"max_new_tokens": 12},
        "evaluate": {"max_new_tokens": 12},
        "refine": {"max_steps": 1},
    }
    recipe = Recipe(train_on=("tiny_chain",), eval_on=("tiny_chain",), limit=24, test_limit=20, settings=settings)
    results, stored = run(load_plugins(), tmp_path, recipe)
    (key,) = results.arms[0].lessons[0].sample
    cut = {
        row[prompting]
        for row in stored.rows("sample", key) or ()
        for prompting in ("direct", "cot")
        if row[f"{prompting}_truncated"]
    }
    pairs = stored.rows("pair", results.pairs[0].key) or []
    assert cut
    assert not [row for row in pairs if row["chosen_from"] == "student" and row["chosen"] in cut]
    assert all(row["rejected_truncated"] == (row["rejected"] in cut) for row in pairs)
    cot = [cell for cell in results.cells if cell.prompting == "cot"]
    assert max(cell.truncated for cell in cot) > 0.5
    assert COT_TRIGGER in pairs[0]["prompt"]
