"""The figures of the paper's Tables 1, 5, 10, 11, 13 and 14, and whose of them a run's models are compared with.

They are read from tables.json, with tasks by their names here; models are recognised by the names users gave them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sitkit.types import PROMPTINGS, Json

Role = Literal["baseline", "baseline_cot", "instruct", "refine", "cross"]
"""What was done to a student: nothing (asked without, with the trigger), phase one, both, or cross self-refine."""

UNTRAINED: tuple[Role, ...] = ("baseline", "baseline_cot")
TRAINED: tuple[Role, ...] = ("instruct", "refine", "cross")


@dataclass(frozen=True, slots=True)
class Figure:
    """A printed figure, in percent, and what follows its ±, which the paper does not define (None: not printed)."""

    mean: float
    spread: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the paper: the name it prints, and benchmark and domain here."""

    name: str
    benchmark: str
    domain: str


@dataclass(frozen=True)
class PaperStudent:
    """One student's table. ``scores``: role, benchmark trained on ("" if untrained), benchmark evaluated on."""

    name: str
    table: int
    teacher: str
    teacher_is: str
    scores: Mapping[tuple[Role, str, str], Figure]


@dataclass(frozen=True)
class Judged:
    """Mean ratings from 1 to 3 by ``judge``. ``teachers``: name, and "direct", "cot" or "target" (Table 13);
    ``students``: name, role, and "in-family", "out-family" or "" if untrained (Table 14).
    """

    judge: str
    questions_per_task: int
    out_family_teacher: str
    teachers: Mapping[tuple[str, str], float]
    students: Mapping[tuple[str, Role, str], float]


@dataclass(frozen=True)
class Paper:
    """All of it. ``teachers`` (Table 5): teacher, split, prompting, benchmark."""

    tasks: Mapping[str, Task]
    students: tuple[PaperStudent, ...]
    teachers: Mapping[tuple[str, str, str, str], Figure]
    judged: Judged

    def student(self, name: str) -> PaperStudent:
        """Return a student by the paper's name. Raises `KeyError`."""
        return {one.name: one for one in self.students}[name]

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """The teachers of Table 5, in its order."""
        return tuple(dict.fromkeys(name for name, *_ in self.teachers))


@cache
def paper() -> Paper:
    """Return the paper's figures; ``tasks`` are by benchmark."""
    content = json.loads(Path(__file__).with_name("tables.json").read_text(encoding="utf-8"))
    tasks = {one["benchmark"]: Task(name, **one) for name, one in content["tasks"].items()}
    by_name = {one.name: one.benchmark for one in tasks.values()}
    return Paper(
        tasks=tasks,
        students=tuple(_student(one, by_name) for one in content["students"]),
        teachers={
            (one["name"], split, prompting, benchmark): figure
            for one in content["teachers"]
            for split in ("train", "test")
            for prompting in PROMPTINGS
            for benchmark, figure in _row(one[split][prompting], by_name)
        },
        judged=_judged(content["judge"]),
    )


def _student(one: Json, by_name: Mapping[str, str]) -> PaperStudent:
    scores: dict[tuple[Role, str, str], Figure] = {}
    for role in UNTRAINED:
        scores |= {(role, "", benchmark): figure for benchmark, figure in _row(one[role], by_name)}
    for role in TRAINED:
        for task, row in one[role].items():
            scores |= {(role, by_name[task], benchmark): figure for benchmark, figure in _row(row, by_name)}
    return PaperStudent(one["name"], one["table"], one["teacher"], one["teacher_is"], scores)


def _row(row: Json, by_name: Mapping[str, str]) -> Iterator[tuple[str, Figure]]:
    for benchmark, cell in zip(by_name.values(), row, strict=True):
        if cell is not None:
            yield benchmark, Figure(*cell)


def _judged(content: Json) -> Judged:
    students: dict[tuple[str, Role, str], float] = {}
    for name, rated in content["students"].items():
        students |= {(name, role, ""): rated[role] for role in UNTRAINED}
        for family in ("in-family", "out-family"):
            students |= {(name, role, family): rated[family][role] for role in TRAINED if role in rated[family]}
    return Judged(
        judge=content["judge"],
        questions_per_task=content["questions_per_task"],
        out_family_teacher=content["out_family_teacher"],
        teachers={(name, what): value for name, rated in content["teachers"].items() for what, value in rated.items()},
        students=students,
    )


MAIN_STUDENT = "Llama-2-7"
MAIN_TEACHER = "Llama-2-70"

_FAMILIES = {"mistral": re.compile(r"mi[sx]tral"), "llama": re.compile(r"llama"), "gpt": re.compile(r"gpt")}
_SIZE = re.compile(r"(?<![\dx.])(\d+(?:\.\d+)?)b(?![a-z])")
_LLAMA_2 = re.compile(r"llama[-_ ]?v?2(?![\d.])")
_MIXTRAL = re.compile(r"mixtral")
_EIGHT = re.compile(r"8x7b(?![a-z])")
_GPT_35 = re.compile(r"gpt-?3\.5")
_BETWEEN_7_AND_13 = 10.0


@dataclass(frozen=True, slots=True)
class Match:
    """A model of the paper. ``why`` it was chosen, in words that follow its name; empty if it is the very same."""

    name: str
    why: str = ""


def family(spec: str) -> str | None:
    """Return "llama", "mistral" (Mixtral too) or "gpt", or None for a name that tells nothing."""
    text = _model(spec)
    return next((name for name, pattern in _FAMILIES.items() if pattern.search(text)), None)


def match_student(spec: str) -> Match:
    """Return the paper's student for a SPEC such as ``hf:meta-llama/Llama-2-7b-chat-hf``: itself, else the nearest."""
    text, found = _model(spec), family(spec)
    size = _size(text)
    if found == "llama":
        name = "Llama-2-13" if size is not None and size > _BETWEEN_7_AND_13 else MAIN_STUDENT
        same = _LLAMA_2.search(text) is not None and f"{size:g}" == name.rpartition("-")[2] if size else False
        return Match(name) if same else Match(name, "the nearest of its family")
    if found == "mistral":
        same = size == 7 and _MIXTRAL.search(text) is None
        return Match("Mistral-7") if same else Match("Mistral-7", "the nearest of its family")
    return Match(MAIN_STUDENT, "the student of its main table, as the name resembles none of its students")


def match_teacher(spec: str) -> Match:
    """Return the paper's teacher for a SPEC: itself, else the nearest."""
    text, found = _model(spec), family(spec)
    near = "the nearest of its family"
    if found == "llama":
        same = _LLAMA_2.search(text) is not None and _size(text) == 70
        return Match("Llama-2-70", "" if same else near)
    if found == "mistral":
        same = _MIXTRAL.search(text) is not None and _EIGHT.search(text) is not None
        return Match("Mixtral7x8", "" if same else near)
    if found == "gpt":
        return Match("GPT-3.5", "" if _GPT_35.search(text) else near)
    return Match(MAIN_TEACHER, "the teacher of its main table, as the name resembles none of its teachers")


def _model(spec: str) -> str:
    # What follows the first comma are options, which may hold any word.
    return spec.partition(",")[0].lower()


def _size(text: str) -> float | None:
    found = _SIZE.findall(text)
    return float(found[-1]) if found else None
