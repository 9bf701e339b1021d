"""Find the one student a user means among those of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.report.one_arm import Arm
from sitkit.types import Json

PICKERS = ("student", "teacher", "train_on", "refine_on", "fraction", "method", "seed")
"""The fields of an arm that a user may say; lists as tuples."""


@dataclass(frozen=True)
class Chosen:
    """An arm, and the key of its student in the phase asked for."""

    arm: Arm
    key: str


def choose(results: Json, phase: str, wanted: Mapping[str, Json], run: str) -> Chosen:
    """Return the arm whose fields are as ``wanted`` (None: any); of seeds that are left, the first is taken.

    Raises `RunNotFoundError` where the run has no student of that phase and `RecipeError` where none fits, or several
    do, naming the options that tell them apart.
    """
    arms = [arm for arm in results.get("arms", ()) if arm.get(phase)]
    if not arms:
        raise RunNotFoundError(f"{run} has no student of the phase {phase}")
    fits = [arm for arm in arms if all(_same(arm[name], value) for name, value in wanted.items() if value is not None)]
    if not fits:
        raise RecipeError(f"{run} has no such {phase} student; it has {_variety(arms, wanted)}")
    if wanted.get("seed") is None:
        fits = [arm for arm in fits if arm["seed"] == fits[0]["seed"]]
    if len({arm[phase] for arm in fits}) > 1:
        raise RecipeError(f"{run} has several {phase} students; say which: {_variety(fits, {})}")
    return Chosen(fits[0], str(fits[0][phase]))


def picking(results: Json, arm: Arm) -> str:
    """Return the options of ``sitkit export`` that name this arm's refined student, each after a space."""
    others = [one for one in results["arms"] if one["refine"]]
    found = []
    for name in PICKERS[:-1]:
        # An untaught student has no training tasks to name; its method tells it apart.
        if len({_text(one[name]) for one in others}) > 1 and arm[name]:
            found.append(f" --{name.replace('_', '-')} {shlex.quote(_text(arm[name]))}")
    return "".join(found)


def _same(value: Json, wanted: Json) -> bool:
    return tuple(value) == tuple(wanted) if isinstance(value, list) else bool(value == wanted)


def _variety(arms: Sequence[Arm], asked: Mapping[str, Json]) -> str:
    """The options that tell these arms apart or were asked for, with their values: ``--train-on a|b``."""
    found = []
    for name in PICKERS:
        values = list(dict.fromkeys(_text(arm[name]) for arm in arms))
        if len(values) > 1 or asked.get(name) is not None:
            found.append(f"--{name.replace('_', '-')} {'|'.join(values)}")
    return ", ".join(found) or "one alone"


def _text(value: Json) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(nothing)"
    return f"{value:g}" if isinstance(value, float) else str(value)
