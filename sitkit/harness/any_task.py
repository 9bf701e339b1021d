"""Any lm-eval task, beside the benchmarks: ``lm-eval:NAME[,num_fewshot=N][,chat=true]``, or the path of a task's YAML.

Nothing of lm-eval is loaded until tasks are checked.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sitkit import answers
from sitkit.errors import DataError, PluginError, RecipeError, reason
from sitkit.harness.folders import find_task, read_task_file, task_inputs
from sitkit.plugin_support import file_digest
from sitkit.spec import boolean, parse_spec
from sitkit.strict_yaml import LinedDict
from sitkit.types import Json


@dataclass(frozen=True)
class AnyTask:
    """A task, or a group of tasks, by the name that lm-eval knows it by.

    ``num_fewshot`` None: as many examples as the task says. ``chat``: lm-eval applies the student's chat template.
    ``folders`` are those of the plugin that has it, or its file's; none: it is one of lm-eval's own.
    """

    spec: str
    name: str
    num_fewshot: int | None
    chat: bool
    folders: tuple[Path, ...]

    @property
    def title(self) -> str:
        """What tables call it: its name, and what was asked of it."""
        return ",".join([self.name, *(f"{key}={value}" for key, value in parse_spec(self.spec).options.items())])

    @cached_property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks of sitkit whose test questions it, or a task of the group, asks."""
        found = (_benchmark(entry) for entry in _entries(self.name, self.folders, set()))
        return tuple(dict.fromkeys(name for name in found if name))

    def material(self) -> Json:
        """Return what determines its scores, as far as can be known here: not the rows that lm-eval downloads."""
        files = {
            path.relative_to(folder).as_posix(): file_digest(path)
            for folder in self.folders
            for path in task_inputs(folder)
        }
        return {
            "task": self.name,
            "num_fewshot": self.num_fewshot,
            "chat": self.chat,
            "lm_eval": version("lm_eval"),
            **({"files": files, "reader": answers.READER_VERSION} if files else {}),
        }


def parse_task(text: str, folders: Iterable[Sequence[Path]]) -> AnyTask:
    """Read such a SPEC; ``folders`` are those of each plugin. Raises `SpecError`, `PluginError` for a file."""
    spec = parse_spec(text)
    name = spec.require_argument("the name of an lm-eval task, or the path of its YAML")
    told: dict[str, Any] = spec.parse_options({"num_fewshot": _count, "chat": boolean})
    own: tuple[Path, ...]
    if name.endswith(".yaml"):
        path = Path(name).expanduser().absolute()
        found = read_task_file(path)
        spec, name, own = replace(spec, argument=str(path)), str(found.get("group", found.get("task"))), (path.parent,)
    else:
        own = next((tuple(place) for place in folders if find_task(name, place) is not None), ())
    return AnyTask(str(spec), name, told.get("num_fewshot"), told.get("chat", False), own)


def check_any(tasks: Sequence[AnyTask], metadata: Mapping[str, Any], student: str, *, capable: bool) -> None:
    """Load each task, its documents included, so that what a run cannot score stops it before anything is trained.

    ``capable``: the student answers whatever lm-eval may ask. Raises `RecipeError`, `DataError` where documents
    cannot be had, and `PluginError` for what this student cannot be asked. Takes lm-eval seconds.
    """
    from sitkit.harness.run import task_manager

    for task in tasks:
        if task.chat and not capable:
            raise PluginError(f"{task.spec}: lm-eval cannot apply the chat template of the student {student}")
        with task_manager(task.folders, metadata if task.folders else {}, own=not task.folders) as manager:
            if task.name not in manager.all_tasks:
                near = difflib.get_close_matches(task.name, manager.all_tasks, n=3, cutoff=0.6)
                hint = f"; near it are {', '.join(near)}" if near else ""
                raise RecipeError(f"{task.spec}: lm-eval has no such task{hint} (`lm_eval ls tasks` lists them)")
            try:
                loaded = manager.load([task.name])["tasks"]
            # A task is code and data of others, and may raise anything.
            except (Exception, SystemExit) as error:
                raise DataError(f"{task.spec}: lm-eval cannot load it: {reason(error)}") from error
        for name, one in loaded.items():
            fault = next(_faults(one, capable), None)
            if fault is not None:
                raise PluginError(f"{task.spec}: {name} {fault.format(student=student)}")


def _faults(task: Any, capable: bool) -> Iterator[str]:
    if getattr(task, "UNSAFE_CODE", False):
        yield "runs code that the model writes, which sitkit does not do"
    if getattr(task, "MULTIMODAL", False):
        yield "shows pictures, which a student cannot see"
    if task.OUTPUT_TYPE != "generate_until" and not capable:
        yield "scores log-likelihoods, which the student {student} does not tell; hf: does"


def _entries(name: str, folders: Sequence[Path], seen: set[str]) -> Iterator[LinedDict]:
    place = find_task(name, folders)
    if place is None or name in seen:
        return
    seen.add(name)
    yield place[1]
    below = place[1].get("task") if "group" in place[1] else None
    for one in below if isinstance(below, list) else ():
        yield from _entries(str(one.get("task") if isinstance(one, Mapping) else one), folders, seen)


def _benchmark(entry: Mapping[str, Any]) -> str | None:
    metadata = entry.get("metadata")
    found = metadata.get("benchmark") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, str) else None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("expected a whole number")
    return int(text)
