"""A run that found exactly what the paper prints for one of its students, as typed results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sitkit.results.judgements import Judgement, Rating
from sitkit.results.model import Cell, Change, Results, TeacherScore, Usage
from sitkit.types import Generation
from sitkit_paper.printed import TRAINED, PaperStudent, paper

TEACHERS = {
    "Llama-2-70": "hf:meta-llama/Llama-2-70b-chat-hf",
    "Mixtral7x8": "hf:mistralai/Mixtral-8x7B-Instruct-v0.1",
}


def cell(phase: Any, benchmark: str, percent: float, *, stderr: float, n: int = 500, **more: Any) -> Cell:
    """Return a cell of one seed; only a taught student has a teacher, only a refined one a method."""
    fields: dict[str, Any] = {
        "student": "s", "teacher": "" if phase == "baseline" else "t", "strategy": "",
        "method": "both" if phase == "refine" else "", "fraction": 1.0, "train_on": (), "refine_on": (),
        "domain": paper().tasks[benchmark].domain if benchmark in paper().tasks else "qa", "transfer": "trained",
        "prompting": "cot", "over_seeds": None, "deviation": None, "unread": 0.0, "worked": 0.0,
        "worked_accuracy": None, "other_accuracy": None, "truncated": 0.0, "finished_accuracy": None, "seeds": (),
    } | more  # fmt: skip
    return Cell(phase=phase, benchmark=benchmark, value=percent / 100, over_questions=stderr, n=n, **fields)


def results(
    cells: Sequence[Cell] = (), teacher_scores: Sequence[TeacherScore] = (), changes: Sequence[Change] = ()
) -> Results:
    """Return results that hold these alone."""
    return Results(
        built_from="", recipe={}, versions={}, arms=(), cells=tuple(cells), changes=tuple(changes), pairs=(),
        training=(), demonstrations=(), teacher_scores=tuple(teacher_scores), usage=Usage(), duplicates=(), tasks={},
        notices=(), stages=(),
    )  # fmt: skip


def scores(printed: PaperStudent, student: str, teacher: str, stderr: float) -> list[Cell]:
    """Return a student's table as cells."""
    found = []
    for (role, trained, evaluated), figure in printed.scores.items():
        more: dict[str, Any] = {"stderr": stderr, "student": student}
        if role in TRAINED:
            refined = {"instruct": (), "refine": (trained,), "cross": (evaluated,)}[role]
            phase = "instruct" if role == "instruct" else "refine"
            more |= {"teacher": teacher, "train_on": (trained,), "refine_on": refined}
            found.append(cell(phase, evaluated, figure.mean, **more))
        else:
            prompting = "direct" if role == "baseline" else "cot"
            found.append(cell("baseline", evaluated, figure.mean, prompting=prompting, **more))
    return found


def run(
    name: str = "Llama-2-7",
    student: str = "hf:meta-llama/Llama-2-7b-chat-hf",
    stderr: float = 1e-6,
    teacher: str | None = None,
) -> Results:
    """Return a run of a student of the paper's with its printed numbers, taught by its own teacher or another."""
    source = paper()
    printed = source.student(name)
    taught = [
        TeacherScore(
            teacher=TEACHERS[who], benchmark=benchmark, split=split, prompting=prompting, value=figure.mean / 100,
            stderr=stderr, n=500, key="k",
        )
        for (who, split, prompting, benchmark), figure in source.teachers.items()
        if who == printed.teacher
    ]  # fmt: skip
    return results(scores(printed, student, teacher or TEACHERS[printed.teacher], stderr), taught)


def rating(phase: Any, prompting: Any, benchmark: str | None, mean: float | None, **more: Any) -> Rating:
    """Return a mean rating of 50 answers, ± 0.1."""
    fields: dict[str, Any] = {
        "student": "s", "teacher": "t", "train_on": ("gsm8k",), "refine_on": ("gsm8k",), "seed": 0, "n": 50,
        "stderr": 0.1, "counts": {}, "unread": 0, "failed": 0, "tampered": 0,
    } | more  # fmt: skip
    return Rating(phase=phase, prompting=prompting, benchmark=benchmark, mean=mean, **fields)


def judgement(*ratings: Rating, judge: str = "j") -> Judgement:
    """Return what a judge said, the ratings alone."""
    return Judgement(
        judge=judge, judge_fingerprint=None, prompt="", reader=1, sitkit="", run="r", run_seed=0, sample=50, seed=0,
        phases=(), promptings=(), questions={}, stages=(), generation=Generation(512), calls=0, outcomes={},
        ratings=ratings, changes=(), failures=(), usage=Usage(),
    )  # fmt: skip
