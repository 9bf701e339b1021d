"""The arms of a run told apart: in words, by setting, by kind of experiment, and by what a user asks for."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.registry import Registry
from sitkit.results.model import Arm, Lesson, Results

_METHODS = {"both": "instruct and refine", "instruct": "instruct only", "refine": "refine only"}

PICKERS = ("student", "teacher", "strategy", "train_on", "refine_on", "fraction", "method", "seed")
"""What a user may say to name one student of a run."""


def describe(arm: Arm, among: Sequence[Arm]) -> str:
    """Return a few words that tell an arm from the others."""
    words = []
    if len({(other.teacher, other.student) for other in among}) > 1:
        words.append(f"{arm.teacher} → {arm.student}" if arm.teacher else arm.student)
    if len({other.strategy for other in among if other.strategy}) > 1:
        words.append(arm.strategy)
    if len({(other.train_on or other.refine_on, other.refine_on or other.train_on) for other in among}) > 1:
        words.append(_tasks(arm))
    if len({other.method for other in among}) > 1:
        words.append(_METHODS[arm.method])
    if len({other.fraction for other in among}) > 1:
        words.append(f"{100 * arm.fraction:g}% of the training data")
    return ", ".join(words) or _tasks(arm)


def _tasks(arm: Arm) -> str:
    train, refine = ", ".join(arm.train_on), ", ".join(arm.refine_on)
    if arm.crossed:
        return f"instructed on {train}, refined on {refine}"
    return f"trained on {train or refine}"


def refines(arms: Sequence[Arm]) -> bool:
    """Whether any student was refined at all, which ``methods: instruct`` leaves out."""
    return any(arm.method != "instruct" for arm in arms)


def is_matrix(group: Sequence[Arm]) -> bool:
    """Whether the arms train on single tasks, and on more than one of them."""
    trained = {arm.train_on for arm in group if arm.method == "both"}
    return len(trained) > 1 and all(len(tasks) == 1 for tasks in trained)


def is_low_resource(group: Sequence[Arm]) -> bool:
    """Whether the arms differ in the share of the training data, or in which phases were done."""
    return len({arm.fraction for arm in group}) > 1 or len({arm.method for arm in group}) > 1


def by_setting(arms: Sequence[Arm]) -> dict[tuple[str, str, str], list[Arm]]:
    """Return the arms by student, teacher and strategy, in order."""
    groups: dict[tuple[str, str, str], list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.setting, []).append(arm)
    return groups


@dataclass(frozen=True)
class Chosen:
    """One student of a run: its arm, its seed's stages, and the key of the stage that made it."""

    arm: Arm
    lesson: Lesson
    key: str


def choose(results: Results, phase: str, wanted: Mapping[str, Any], run: str) -> Chosen:
    """Return the student of a phase whose arm is as ``wanted`` (None: any); of seeds that are left, the first is taken.

    Raises `RunNotFoundError` where the run has no student of that phase and `RecipeError` where none fits, or several
    do, naming the options that tell them apart.
    """
    found = [
        Chosen(arm, lesson, key)
        for arm in results.arms
        for lesson in arm.lessons
        if (key := lesson.instruct if phase == "instruct" else lesson.refine) is not None
    ]
    if not found:
        raise RunNotFoundError(f"{run} has no student of the phase {phase}")
    fits = [one for one in found if all(_value(one, name) == value for name, value in _said(wanted).items())]
    if not fits:
        raise RecipeError(f"{run} has no such {phase} student; it has {_variety(found, _said(wanted))}")
    if wanted.get("seed") is None:
        fits = [one for one in fits if one.lesson.seed == fits[0].lesson.seed]
    if len({one.key for one in fits}) > 1:
        raise RecipeError(f"{run} has several {phase} students; say which: {_variety(fits, {})}")
    return fits[0]


def fitting(results: Results, wanted: Mapping[str, Any]) -> list[Arm]:
    """Return the arms that are as ``wanted`` (a name of `PICKERS` -> value; None: any).

    Raises `RecipeError` where none is, saying which there are.
    """
    asked = _said(wanted)
    fits = [arm for arm in results.arms if all(getattr(arm, name) == value for name, value in asked.items())]
    if not fits:
        every = [Chosen(arm, lesson, "") for arm in results.arms for lesson in arm.lessons]
        raise RecipeError(f"the run has no such student; it has {_variety(every, asked)}")
    return fits


def by_first_names(wanted: Mapping[str, Any], registry: Registry, own: Collection[str]) -> dict[str, Any]:
    """Return the same with benchmarks by the names that results know them by."""
    found = dict(wanted)
    for name in ("train_on", "refine_on"):
        if found.get(name) is not None:
            names = found[name].split(",") if isinstance(found[name], str) else found[name]
            words = [word.strip() for word in names if word.strip()]
            found[name] = tuple(word if word in own else registry.first_name("benchmark", word) for word in words)
    return found


def picking(results: Results, arm: Arm, phase: Literal["instruct", "refine"] = "refine") -> str:
    """Return the options of ``sitkit export`` that name this arm's student of a phase, each after a space."""
    others = [one for one in results.arms if any(getattr(lesson, phase) for lesson in one.lessons)]
    found = []
    for name in PICKERS[:-1]:
        # An untaught student has no training tasks to name; its method tells it apart.
        if len({_text(getattr(other, name)) for other in others}) > 1 and getattr(arm, name):
            found.append(f" --{name.replace('_', '-')} {shlex.quote(_text(getattr(arm, name)))}")
    return "".join(found)


def _said(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in wanted.items() if value is not None
    }


def _value(one: Chosen, name: str) -> object:
    return one.lesson.seed if name == "seed" else getattr(one.arm, name)


def _variety(students: Sequence[Chosen], asked: Mapping[str, Any]) -> str:
    """The options that tell these students apart or were asked for, with their values: ``--train-on a|b``."""
    found = []
    for name in PICKERS:
        values = list(dict.fromkeys(_text(_value(one, name)) for one in students))
        if len(values) > 1 or name in asked:
            found.append(f"--{name.replace('_', '-')} {'|'.join(values)}")
    return ", ".join(found) or "one alone"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "(nothing)"
    return f"{value:g}" if isinstance(value, float) else str(value)
