"""Evaluate one phase of a student on any lm-eval task, as lm-eval has it: what the student forgot, say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sitkit.capabilities import HarnessStudent
from sitkit.components import Component, QuestionSet
from sitkit.errors import PluginError, blamed
from sitkit.harness.any_task import AnyTask
from sitkit.spec import LM_EVAL
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.completions import complete_into
from sitkit.stages.training import ADAPTER
from sitkit.store import DISK_FULL, Journal
from sitkit.store.jsonl import write_rows
from sitkit.types import Completion, Generation, Json, Phase, Prompt, Student

if TYPE_CHECKING:
    from sitkit.harness.run import Aloud

DOCUMENTS = "documents.jsonl"
"""A row for each document and filter: all of its texts, what came back, and each metric that is a number."""

_REQUESTS = "requests.jsonl"


@dataclass(frozen=True, eq=False)
class EvaluateTask:
    """The metrics of one phase on one lm-eval task or group. ``learnt`` is None for the baseline.

    ``questions`` are the test questions of the benchmarks that the task asks, where it is one of a plugin's.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 2

    student: Component[Student]
    phase: Phase
    learnt: Node | None
    task: AnyTask
    questions: tuple[QuestionSet, ...]
    test_limit: int | None
    seed: int
    where: str = ""

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The instructed or refined student, or nothing for the baseline."""
        return () if self.learnt is None else (self.learnt,)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return phase and task, where in the run it stands, and the seed where something was learnt."""
        return stage_label(
            f"{self.phase} {LM_EVAL}{self.task.title}", self.where, None if self.learnt is None else self.seed
        )

    def material(self) -> Json:
        """Return student, task and how many documents; the seed changes nothing."""
        return {
            "student": self.student.fingerprint,
            "task": self.task.material(),
            "questions": [one.material() for one in self.questions],
            "test_limit": self.test_limit,
        }

    def prompts(self) -> int:
        """Return 0: how many documents there are, lm-eval knows once it has loaded them."""
        return 0

    def metadata(self, data_dir: Path | None) -> dict[str, Any]:
        """Return what the dataset functions of a plugin's task are given."""
        return {
            "data_dir": None if data_dir is None else str(data_dir),
            "seed": self.seed,
            "questions": {one.benchmark.spec: one.questions for one in self.questions},
        }

    def run(self, work: Work) -> Json:
        """Write documents.jsonl and return the metrics."""
        from sitkit.harness.run import run_as_it_is

        adapter = None if self.learnt is None else work.artifact(self.learnt).folder / ADAPTER
        with (
            Journal(work.scratch / _REQUESTS) as journal,
            blamed(
                f"{LM_EVAL}{self.task.title}",
                passes=lambda error: isinstance(error, OSError) and error.errno in DISK_FULL,
            ),
        ):
            results = run_as_it_is(
                self.task.name,
                lambda aloud: self._model(adapter, journal, work, aloud),
                folders=self.task.folders,
                metadata=self.metadata(work.data_dir) if self.task.folders else {},
                limit=self.test_limit,
                num_fewshot=self.task.num_fewshot,
                chat=self.task.chat,
            )
        metrics = list(_metrics(self.task.name, results))
        if not metrics:
            raise PluginError(f"{self.task.spec}: lm-eval reports no metric that is a number")
        write_rows(work.folder / DOCUMENTS, _documents(results["samples"]))
        return {"metrics": metrics}

    def _model(self, adapter: Path | None, journal: Journal, work: Work, aloud: Aloud) -> Any:
        from sitkit.harness.lm import JournaledLM, StudentLM, by_place

        def progress(done: int, total: int) -> None:
            with aloud():
                work.progress(done, total)

        def complete(prompts: list[Prompt], generation: Generation) -> Mapping[str, Completion]:
            with aloud():
                return complete_into(journal, self.student, adapter, prompts, generation, work.progress)

        made = self.student.made
        if not isinstance(made, HarnessStudent):
            return StudentLM(complete, 0, by_place)
        with aloud(), self.student.calling("harness_model"):
            model = made.harness_model(adapter)
        return JournaledLM(model, journal, progress)


def _metrics(name: str, results: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    """The metrics of a task or of a group, or where a group has none of its own those of its tasks."""
    every = results["results"]
    names = [name] if any(_numbers(every.get(name, {}))) else [task for task in every if any(_numbers(every[task]))]
    members = set(results["samples"])
    for task in names:
        tasks = [task] if task in members else sorted(members)
        for metric, chosen, value in _numbers(every[task]):
            stderr = every[task].get(f"{metric}_stderr,{chosen}")
            better = results["higher_is_better"].get(task, {}).get(metric)
            yield {
                "task": task,
                "tasks": tasks,
                "metric": metric,
                "filter": chosen,
                "value": value,
                "stderr": float(stderr) if _is_number(stderr) else None,
                "higher_is_better": better if isinstance(better, bool) else None,
                "num_fewshot": results["n-shot"].get(task),
                "n": sum(results["n-samples"][one]["effective"] for one in tasks),
            }


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    for key, value in row.items():
        metric, comma, chosen = key.partition(",")
        if comma and not metric.endswith("_stderr") and _is_number(value):
            yield metric, chosen, float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _documents(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Json]]:
    for task, rows in samples.items():
        for row in sorted(rows, key=lambda row: (row["filter"], row["doc_id"])):
            values = {name: row[name] for name in row["metrics"] if isinstance(row[name], int | float)}
            yield {
                "task": task,
                "document": row["doc_id"],
                "digest": row["doc_hash"],
                "text": " ".join(_texts(row["doc"])),
                "filter": row["filter"],
                "target": str(row["target"]),
                "responses": [str(one) for one in row["filtered_resps"]],
                "metrics": {name: float(value) for name, value in values.items()},
            }


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
