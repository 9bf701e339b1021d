"""A run that found exactly what the paper prints for one of its students, as the rows of results.json."""

from __future__ import annotations

from typing import Any

from sitkit_paper.figures import TRAINED, PaperStudent, paper


def row(phase: str, benchmark: str, percent: float, *, stderr: float, n: int = 500, **more: Any) -> dict[str, Any]:
    return {
        "student": "s", "teacher": "t", "strategy": "dpo-cot", "phase": phase, "train_on": [], "refine_on": [],
        "benchmark": benchmark, "domain": paper().tasks[benchmark].domain if benchmark in paper().tasks else "qa",
        "prompting": "cot", "metric": "accuracy", "value": percent / 100, "stderr": stderr, "n": n,
        "extraction_failures": 0, "transfer": "trained", "worked": 0, "worked_correct": 0, "seed": 0, "fraction": 1.0,
        "method": "both", "key": "k",
    } | more  # fmt: skip


def scores(printed: PaperStudent, student: str, teacher: str, stderr: float) -> list[dict[str, Any]]:
    rows = []
    for (role, trained, evaluated), figure in printed.scores.items():
        more: dict[str, Any] = {"stderr": stderr, "student": student, "teacher": teacher if trained else ""}
        if role in TRAINED:
            refined = {"instruct": [], "refine": [trained], "cross": [evaluated]}[role]
            phase = "instruct" if role == "instruct" else "refine"
            rows.append(row(phase, evaluated, figure.mean, train_on=[trained], refine_on=refined, **more))
        else:
            prompting = "direct" if role == "baseline" else "cot"
            rows.append(row("baseline", evaluated, figure.mean, prompting=prompting, **more))
    return rows


def run(name: str = "Llama-2-7", student: str = "hf:meta-llama/Llama-2-7b-chat-hf", stderr: float = 1e-6) -> Any:
    source = paper()
    printed = source.student(name)
    teacher = {
        "Llama-2-70": "hf:meta-llama/Llama-2-70b-chat-hf",
        "Mixtral7x8": "hf:mistralai/Mixtral-8x7B-Instruct-v0.1",
    }
    taught = [
        {"teacher": teacher[printed.teacher], "benchmark": benchmark, "split": split, "prompting": prompting,
         "value": figure.mean / 100, "stderr": stderr, "n": 500}
        for (who, split, prompting, benchmark), figure in source.teachers.items()
        if who == printed.teacher
    ]  # fmt: skip
    return {
        "scores": scores(printed, student, teacher[printed.teacher], stderr), "teacher_accuracy": taught,
        "pairs": {"total": 0, "left_out_reasons": {}}, "training": [], "notices": [],
    }  # fmt: skip
