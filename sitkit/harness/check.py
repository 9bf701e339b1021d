"""Whether lm-eval's tasks ask what sitkit trains on: the benchmark's own test questions, with sitkit's own prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sitkit import answers, types
from sitkit.errors import PluginError, blamed
from sitkit.harness import tasks as ours
from sitkit.harness.folders import find_task, not_found, task_inputs
from sitkit.plugin_support import file_digest
from sitkit.store.keys import make_key
from sitkit.strict_yaml import Function
from sitkit.types import Json, Prompting, Question

_OURS = "sitkit.harness.tasks"
_FUNCTIONS = {"custom_dataset": "docs", "process_results": "process_results"}
_PLAIN = {
    *_FUNCTIONS,
    *("task", "doc_to_text", "doc_to_target", "test_split", "output_type", "num_fewshot"),
    *("generation_kwargs", "metric_list", "metadata"),
}
"""The keys of a plain task: none of them changes what is asked but those that `TaskCheck.is_plain` looks at."""

_JUDGED = 50
"""How many documents a task has to judge to show that it does."""

METRIC = "accuracy"
"""The metric that sitkit reads of a task."""

_CHECK = 1
"""Raised whenever a task is looked at differently, so that no older verdict counts."""


@dataclass(frozen=True)
class TaskCheck:
    """What the task of one benchmark under one prompting has to be.

    ``questions`` are all of the benchmark's test questions, ``limit`` is how many of them are scored (None: all).
    ``who`` names the benchmark and its plugin in messages; ``folders`` are the
    plugin's.
    """

    who: str
    benchmark: str
    task: str
    prompting: Prompting
    questions: Sequence[Question]
    limit: int | None
    folders: Sequence[Path]
    provider: Mapping[str, str]
    metadata: Mapping[str, Any]

    def is_plain(self) -> bool:
        """Return whether the task consists of sitkit's own functions for this benchmark and prompting, and no more.

        Such a task asks the questions it is given and nothing else, which its file shows: nothing has to be loaded.
        """
        place = find_task(self.task, self.folders)
        if place is None:
            return False
        path, found = place
        metrics, metadata = found.get("metric_list"), found.get("metadata")
        named = [metric.get("metric") for metric in metrics] if isinstance(metrics, list) else []
        return (
            set(found) <= _PLAIN
            and all(found.get(key) == Function(f"{_OURS}.{name}") for key, name in _FUNCTIONS.items())
            and found.get("doc_to_text") == Function(f"{_OURS}.prompt_{self.prompting}")
            and (found.get("test_split"), found.get("output_type")) == ("test", "generate_until")
            and found.get("num_fewshot") in (None, 0)
            and METRIC in named
            and isinstance(metadata, Mapping)
            and (metadata.get("benchmark"), metadata.get("subset")) == (self.benchmark, None)
            # lm-eval takes a module beside the file for one of the same name elsewhere.
            and not any((folder / "sitkit").exists() for folder in (path.parent, *(self.folders)))
        )

    def key(self) -> str:
        """Return a key of all that a verdict rests on: the files of the tasks, the questions, the code that reads."""
        files = [path for folder in self.folders for path in task_inputs(folder)]
        material: Json = {
            "check": [_CHECK, answers.READER_VERSION, version("lm_eval")],
            "code": [file_digest(Path(module.__file__ or "")) for module in (ours, types)],
            "task": [dict(self.provider), self.benchmark, self.task, self.prompting, self.limit],
            "files": [[str(path), file_digest(path)] for path in files],
            "questions": hashlib.sha256(repr(list(self.questions)).encode("utf-8", "surrogatepass")).hexdigest(),
        }
        return make_key(material)


def check_tasks(checks: Sequence[TaskCheck], oracle: Callable[[Question], str] | None = None) -> None:
    """Load each task as a run does and hold it against what it has to be.

    ``oracle`` gives an answer that each question's task has to judge as right, where a task has to judge as sitkit
    does. Raises `PluginError` naming the benchmark, the task, its file, and what differs. Loads lm-eval, which takes
    seconds.
    """
    from sitkit.harness.run import task_manager

    for check in checks:
        metadata = {**check.metadata, "questions": {check.benchmark: check.questions}}
        with task_manager(check.folders, metadata) as manager:
            entry = manager.task_index.get(check.task)
            place = getattr(entry, "yaml_path", None)
            where = f"{check.who}: lm-eval task {check.task}" + (f" ({place})" if place else "")
            if entry is None:
                raise PluginError(f"{check.who}: {not_found(check.task, check.folders)}")
            with blamed(f"{where}: loading it"):
                task = manager.load(check.task)["tasks"].get(check.task)
            # A group's members are not what the benchmark named.
            fault = "is a group, not a single task" if task is None or entry.kind.name == "GROUP" else None
            if fault is None and task.OUTPUT_TYPE != "generate_until":
                fault = f"its output_type is {task.OUTPUT_TYPE}, but a student's answer is generated: generate_until"
            if fault is None:
                with blamed(f"{where}: its requests"):
                    task.build_all_requests(limit=check.limit, rank=0, world_size=1)
                with blamed(where):
                    fault = next(_faults(check, task, oracle), None)
        if fault is not None:
            raise PluginError(f"{where}: {fault}")


def _faults(check: TaskCheck, task: Any, oracle: Callable[[Question], str] | None) -> Iterator[str]:
    wanted = list(check.questions[: check.limit])
    yield from _document_faults(check, [request.doc for request in task.instances], wanted)
    for request, question in zip(_in_order(task.instances, wanted), wanted, strict=True):
        text, expected = request.args[0], question.prompt(check.prompting)
        if text != expected:
            yield f"its prompt for {question.id!r} is not the {check.prompting} prompt: {_difference(text, expected)}"
            return
    yield from _metric_faults(task, task.instances[:_JUDGED])
    if oracle is not None:
        by_id = {question.id: question for question in wanted}
        for request in task.instances:
            answer = oracle(by_id[request.doc["id"]])
            if task.process_results(request.doc, [answer])[METRIC] != 1:
                yield f"it judges {answer!r}, the right answer to {request.doc['id']!r}, as wrong"
                return


def _document_faults(check: TaskCheck, docs: Sequence[Any], wanted: Sequence[Question]) -> Iterator[str]:
    ids = [doc.get("id") if isinstance(doc, Mapping) else None for doc in docs]
    if None in ids:
        yield "its documents have no field 'id' with the questions' ids"
        return
    known = {question.id for question in wanted}
    named = {doc["benchmark"] for doc in docs if isinstance(doc.get("benchmark"), str)} - {check.benchmark}
    if named:
        yield f"its documents are questions of {', '.join(sorted(named))}, not of {check.benchmark}"
    strange = [name for name in ids if name not in known]
    if strange:
        count = f"{len(strange)} of its {len(ids)} documents"
        yield f"{count} are not test questions of {check.benchmark}, the first {strange[0]!r}"
    if len(ids) != len(wanted) or len(set(ids)) != len(ids):
        yield f"it asks {len(ids)} times, of {len(set(ids))} documents, for {len(wanted)} test questions"


def _in_order(requests: Sequence[Any], wanted: Sequence[Question]) -> list[Any]:
    by_id = {request.doc["id"]: request for request in requests}
    return [by_id[question.id] for question in wanted]


def _metric_faults(task: Any, requests: Sequence[Any]) -> Iterator[str]:
    if METRIC not in task.aggregation():
        yield f"its metric_list has no {METRIC}"
    if "none" not in [ensemble.name for ensemble in task._filters]:
        yield "its filter_list has no filter named none, by which scores are read"
    # How it judges is its own affair, but for one answer.
    for request in requests:
        judged = task.process_results(request.doc, [""])
        if not isinstance(judged, Mapping) or METRIC not in judged:
            yield f"its process_results gives {judged!r}, without {METRIC}"
            return
        if judged[METRIC]:
            yield f"it judges an empty answer to {request.doc['id']!r} as right"
            return


def _difference(text: str, expected: str) -> str:
    start = next((at for at, (one, other) in enumerate(zip(text, expected, strict=False)) if one != other), None)
    at = min(len(text), len(expected)) if start is None else start
    return f"from character {at + 1} on {text[at : at + 40]!r} in place of {expected[at : at + 40]!r}"
