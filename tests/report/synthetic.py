"""A workspace with a run whose answers are made up: real questions, real store, no model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sitkit.components import Component, QuestionSet
from sitkit.registry import load_plugins
from sitkit.results.accuracy import summarised
from sitkit.results.build import change_between
from sitkit.results.model import Arm, Cell, Change, Lesson, Pairs, Results, SeedScore, Stage, Usage, sealed
from sitkit.results.rows import StoredRows
from sitkit.store import Store, make_key
from sitkit.store.jsonl import to_row
from sitkit.types import PHASES, PROMPTINGS, Answers, Demonstration, LeftOut, Prediction, PreferencePair, Question

Say = Callable[[str, str, Question], tuple[str, str | None, bool]]
"""(phase, prompting, question) -> (completion, extracted, right)."""


def question_set(benchmark: str, split: Any = "test") -> QuestionSet:
    registry = load_plugins()
    provider = registry.component("benchmark", benchmark).provider
    made = registry.benchmark(benchmark)
    part = Component("benchmark", benchmark, made, {"distribution": provider.distribution, "version": provider.version})
    return QuestionSet(part, split, 0)


def invented(count: int, benchmark: str = "invented") -> list[Question]:
    return [
        Question(f"{benchmark}/{at}", benchmark, "number", "Answer.", f"What is {at} and 1?", None, str(at + 1))
        for at in range(count)
    ]


def say_by_turns(phase: str, prompting: str, question: Question) -> tuple[str, str | None, bool]:
    """Every question changes in its own way: its place modulo 4 decides."""
    place = int(question.id.rpartition("/")[2]) % 4
    right = {"baseline": place == 0, "instruct": place in (0, 1), "refine": place in (0, 2)}[phase]
    if phase == "refine" and place == 3:
        return "I cannot say.", None, False
    return (
        f"{phase} {prompting} says {question.target if right else 'else'}.",
        question.target if right else "else",
        right,
    )


def blank_cell(**what: Any) -> Cell:
    """A cell without numbers, of "tiny" taught by "tiny" on what its phase depends on."""
    taught, refined = what["phase"] != "baseline", what["phase"] == "refine"
    cell = {
        "student": "tiny", "teacher": "tiny", "strategy": "dpo-cot", "method": "both", "fraction": 1.0,
        "train_on": (), "refine_on": (),
        "domain": "math", "transfer": "trained", "value": 0.0, "over_questions": 0.0,
        "over_seeds": None, "deviation": None, "n": 0,
        "unread": 0.0, "worked": 0.0, "worked_accuracy": None, "other_accuracy": None,
        "truncated": 0.0, "finished_accuracy": None, "seeds": (),
    } | what  # fmt: skip
    cell |= {} if taught else {"teacher": "", "train_on": (), "fraction": 1.0}
    cell |= {} if refined else {"strategy": "", "method": "", "refine_on": ()}
    return Cell(**cell)  # type: ignore[arg-type]


def score(seed: int, key: str, right: int, n: int, unread: int = 0, **more: Any) -> SeedScore:
    value = right / n
    made = SeedScore(
        seed=seed, key=key, n=n, value=value, stderr=math.sqrt(value * (1 - value) / max(1, n - 1)), unread=unread,
        worked=0, worked_correct=0, characters=0, truncated=0, finished_correct=right, repeated=0, repeated_answer="",
    )  # fmt: skip
    return replace(made, **more)


def blank_pairs(key: str, **more: Any) -> Pairs:
    """A pair stage's counts, 0 but for ``more``."""
    counts = {field.name: 0 for field in fields(Pairs)}
    what = {"label": "invented", "chosen_from": {"student": 0, "teacher": 0, "target": 0}, "left_out_reasons": {}}
    return Pairs(**{**counts, **what, "key": key, **more})  # type: ignore[arg-type]


def made_results(arms: Sequence[Arm], cells: Sequence[Cell], changes: Sequence[Change] = (), **more: Any) -> Results:
    """Results of these arms and cells; ``more`` replaces what is empty else."""
    recipe = {"data_dir": None, "limit": None, "test_limit": None, "set": {}, "seeds": [0]}
    empty: dict[str, Any] = {
        "built_from": "0", "recipe": recipe, "versions": {"python": "3"}, "pairs": (), "training": (),
        "demonstrations": (), "teacher_scores": (), "usage": Usage(), "duplicates": (), "tasks": {}, "notices": (),
        "stages": (),
    }  # fmt: skip
    return sealed(Results(arms=tuple(arms), cells=tuple(cells), changes=tuple(changes), **{**empty, **more}))


def write_workspace(
    workspace: Path,
    tested: Sequence[Question],
    *,
    say: Say = say_by_turns,
    trained: Sequence[Question] = (),
    asked: QuestionSet | None = None,
    seeds: Sequence[int] = (0,),
    student: str = "tiny",
    **more: Any,
) -> tuple[Path, Results, StoredRows]:
    """Write the artifacts of a run of one arm; return the run's folder, its results and the rows behind them."""
    stages: list[Stage] = []
    store, stored = Store(workspace), StoredRows(workspace)
    store.prepare()
    finish = _finisher(store, student, stages)
    benchmark = tested[0].benchmark
    scores: dict[tuple[Any, Any], list[SeedScore]] = {}
    for seed in seeds:
        for phase in PHASES:
            rows = [
                Prediction(question.id, question.benchmark, prompting, *say(phase, prompting, question))
                for prompting in PROMPTINGS
                for question in tested
            ]
            material = {"settings": {"questions": asked.material() if asked else {}}}
            key = finish("evaluate", f"{phase} {benchmark} {seed}", {"predictions.jsonl": rows}, material)
            for prompting in PROMPTINGS:
                own = [row for row in rows if row.prompting == prompting]
                unread = sum(row.extracted is None for row in own)
                made = score(seed, key, sum(row.correct for row in own), len(own), unread)
                scores.setdefault((phase, prompting), []).append(made)
    tasks = (benchmark,)
    cells = [
        summarised(
            blank_cell(student=student, phase=phase, prompting=prompting, benchmark=benchmark, train_on=tasks,
                       refine_on=tasks),
            own,
        )
        for (phase, prompting), own in scores.items()
    ]  # fmt: skip
    ends = [
        (before, after)
        for before, one in enumerate(cells)
        for after, other in enumerate(cells)
        if one.prompting == other.prompting and PHASES.index(other.phase) - PHASES.index(one.phase) == 1
    ]
    lessons = tuple(_lesson(trained, finish, seed) for seed in seeds)
    arm = Arm(student=student, teacher="tiny", strategy="dpo-cot", train_on=tasks, refine_on=tasks, fraction=1.0,
              method="both", lessons=lessons)  # fmt: skip
    changes = [change_between(cells, before, after, stored) for before, after in ends]
    pairs = tuple(_pairs(lesson.pair, len(trained)) for lesson in lessons if lesson.pair is not None)
    results = made_results([arm], cells, changes, stages=tuple(stages), pairs=pairs, **more)
    folder = workspace / "runs" / "example"
    folder.mkdir(parents=True, exist_ok=True)
    return folder, results, stored


Finish = Callable[..., str]


def _finisher(store: Store, student: str, stages: list[Stage]) -> Finish:
    def finish(stage: str, what: str, files: Mapping[str, Iterable[Any]], material: Any = None) -> str:
        key = make_key([stage, what, student])
        folder = store.folder(stage, key)
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in files.items():
            # In ASCII, which can hold any text a test comes up with.
            (folder / name).write_text("".join(_lines(rows)), encoding="ascii")
        store.finish(stage, key, material or {}, {}, 1.0, made_from={})
        stages.append(Stage(stage=stage, label=what, key=key, content="", seconds=1.0, reused=False))
        return key

    return finish


def _lines(rows: Iterable[Any]) -> Iterator[str]:
    return (json.dumps(to_row(row)) + "\n" for row in rows)


def _lesson(trained: Sequence[Question], finish: Finish, seed: int) -> Lesson:
    if not trained:
        return Lesson(seed=seed)
    demonstrations = [
        Demonstration(one.id, one.benchmark, one.prompt("cot"), f"The teacher says {one.target}.", "tiny", correct=True)
        for one in trained
    ]
    answers = [Answers(one.id, one.benchmark, "It is 0.", f"Own steps to {one.target}.") for one in trained]
    pairs = [
        PreferencePair(
            one.id, one.benchmark, one.prompt("cot"), f"Own steps to {one.target}.", "It is 0.", "student", True, False
        )
        for one in trained[:-1]
    ]
    left_out = [LeftOut(trained[-1].id, trained[-1].benchmark, "same text")]
    return Lesson(
        seed=seed,
        annotate=(finish("annotate", f"a {seed}", {"demonstrations.jsonl": demonstrations}),),
        sample=(finish("sample", f"s {seed}", {"answers.jsonl": answers}),),
        pair=finish("pair", f"p {seed}", {"pairs.jsonl": pairs, "left_out.jsonl": left_out}),
    )


def _pairs(key: str, questions: int) -> Pairs:
    return blank_pairs(
        key, questions=questions, cot_correct=questions, total=questions - 1, left_out=1,
        chosen_from={"student": questions - 1, "teacher": 0, "target": 0}, left_out_reasons={"same text": 1},
    )  # fmt: skip
