"""A workspace with a run whose answers are made up: real questions, real store, no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sitkit.components import Component, QuestionSet
from sitkit.registry import load_plugins
from sitkit.store import Store, make_key
from sitkit.store.jsonl import to_row
from sitkit.types import PROMPTINGS, Answers, Demonstration, LeftOut, Prediction, PreferencePair, Question

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


def write_workspace(
    workspace: Path,
    tested: Sequence[Question],
    *,
    say: Say = say_by_turns,
    trained: Sequence[Question] = (),
    asked: QuestionSet | None = None,
    seeds: Sequence[int] = (0,),
    student: str = "tiny",
) -> tuple[Path, dict[str, Any]]:
    """Write the artifacts and results.json of a run of one arm; return its folder and the results."""
    store = Store(workspace)
    store.prepare()
    scores: list[dict[str, Any]] = []
    arms: list[dict[str, Any]] = []
    stages: list[dict[str, Any]] = []
    benchmark = tested[0].benchmark

    def finish(stage: str, what: Any, files: dict[str, Iterable[Any]], material: Any = None) -> str:
        key = make_key([stage, what, student])
        folder = store.folder(stage, key)
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in files.items():
            # In ASCII, which can hold any text a test comes up with.
            lines = (json.dumps(to_row(row)) + "\n" for row in rows)
            (folder / name).write_text("".join(lines), encoding="ascii")
        store.finish(stage, key, material or {}, {}, 1.0, made_from={})
        stages.append({"stage": stage, "label": str(what), "key": key, "seconds": 1.0, "reused": False})
        return key

    for seed in seeds:
        base = {"student": student, "teacher": "tiny", "strategy": "dpo-cot", "train_on": [benchmark],
                "refine_on": [benchmark], "fraction": 1.0, "seed": seed, "method": "both"}  # fmt: skip
        for phase in ("baseline", "instruct", "refine"):
            rows = [
                Prediction(one.id, one.benchmark, prompting, *say(phase, prompting, one))
                for prompting in PROMPTINGS
                for one in tested
            ]
            material = {"settings": {"questions": asked.material() if asked else {}}}
            key = finish("evaluate", f"{phase} {benchmark} {seed}", {"predictions.jsonl": rows}, material)
            for prompting in PROMPTINGS:
                own = [row for row in rows if row.prompting == prompting]
                value = sum(row.correct for row in own) / len(own)
                scores.append({
                    **base, "phase": phase, "benchmark": benchmark, "domain": "math", "prompting": prompting,
                    "metric": "accuracy", "value": value, "stderr": 0.02, "n": len(own), "transfer": "trained",
                    "extraction_failures": sum(row.extracted is None for row in own), "worked": 0,
                    "worked_correct": 0, "key": key,
                })  # fmt: skip
        arms.append({**base, **_training(trained, finish, seed)})
    results = {
        "recipe": {"data_dir": None, "seeds": list(seeds), "train_on": [benchmark], "refine_on": None, "limit": None,
                   "student": student, "teacher": "tiny", "strategy": "dpo-cot", "fraction": 1.0, "test_limit": None,
                   "set": {}},
        "versions": {"python": "3"}, "stages": stages, "students": [], "arms": arms, "tasks": {}, "demonstrations": [],
        "pairs": {"total": 0, "left_out_reasons": {}, "rejected_correct": 0, "by_arm": []}, "training": [],
        "scores": scores, "notices": [],
    }  # fmt: skip
    folder = workspace / "runs" / "example"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder, results


def _training(trained: Sequence[Question], finish: Callable[..., str], seed: int) -> dict[str, Any]:
    if not trained:
        return {"annotate": [], "instruct": None, "sample": [], "pair": None, "refine": None}
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
    last = trained[-1]
    return {
        "annotate": [finish("annotate", f"a {seed}", {"demonstrations.jsonl": demonstrations})],
        "instruct": None,
        "sample": [finish("sample", f"s {seed}", {"answers.jsonl": answers})],
        "pair": finish(
            "pair", f"p {seed}",
            {"pairs.jsonl": pairs, "left_out.jsonl": [LeftOut(last.id, last.benchmark, "same text")]},
        ),
        "refine": None,
    }  # fmt: skip
