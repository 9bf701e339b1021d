"""A recipe: what a run is, from flags or a YAML file, validated. The same recipe gives the same scores."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sitkit.errors import RecipeError, suggestion
from sitkit.types import METHODS, Json, Method

_LARGEST = 2**31
_MOST_SEEDS = 10_000

EMBEDDED_TRAIN = ("tiny_chain", "tiny_cups")
EMBEDDED_EVAL = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")
"""The default run: one embedded benchmark of each domain is trained on, all four are scored."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run is. ``settings`` are those of ``--set``: stage -> key -> value, over what a student recommends.

    Every student is taught by every teacher, on every fraction, with every seed: each such combination is an arm of
    the run, and what arms share is done once. ``cross`` makes an arm of every pair of a task of ``train_on`` and one
    of ``refine_on``, each alone (the paper's Table 1: with two different tasks it is cross self-refinement);
    otherwise all tasks are trained on together. ``methods`` are the ways a student learns: "both" phases, "instruct"
    alone, or "refine" alone, from the untaught student (Figure 4).

    ``teacher=None`` is the embedded one for the embedded benchmarks and ``gold`` for others; ``refine_on=None`` means
    the training tasks, ``eval_on=None`` the training and refining tasks (all four embedded ones if these are
    embedded and trained on together).
    ``limit`` and ``test_limit`` take the first questions of a split, a ``fraction`` a nested random subset by seed.
    ``eval_teacher``: the teachers' own accuracy is taken without the trigger and on the test questions too; None asks
    for the former alone, and not where it costs money. ``max_cost``: what may be spent on teachers, in US dollars.
    ``drop_duplicates`` leaves out training questions that stand in the test split too.
    """

    teacher: tuple[str, ...] | None = None
    student: tuple[str, ...] = ("tiny",)
    strategy: str = "dpo-cot"
    train_on: tuple[str, ...] = EMBEDDED_TRAIN
    refine_on: tuple[str, ...] | None = None
    eval_on: tuple[str, ...] | None = None
    cross: bool = False
    methods: tuple[Method, ...] = ("both",)
    fraction: tuple[float, ...] = (1.0,)
    limit: int | None = None
    test_limit: int | None = None
    seeds: tuple[int, ...] = (0,)
    data_dir: str | None = None
    drop_duplicates: bool = False
    eval_teacher: bool | None = None
    max_cost: float | None = None
    settings: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fraction in self.fraction:
            _require(0 < fraction <= 1, f"fraction must be above 0 and at most 1, got {fraction:g}")
        _require(self.max_cost is None or 0 <= self.max_cost < math.inf, f"max_cost must be 0 or more: {self.max_cost}")
        for name in ("limit", "test_limit"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} must be at least 1, got {value}")
            _require(value is None or value < _LARGEST, f"{name} must be below {_LARGEST}, got {value}")
        _require(len(self.seeds) > 0, "seeds must name at least one seed")
        _require(self.eval_on is None or "all" not in self.eval_on[1:] + self.eval_on[:-1], "all stands alone")
        _require(all(0 <= seed < 2**32 for seed in self.seeds), "a seed must be between 0 and 4294967295")
        for name in _TUPLES:
            values = getattr(self, name)
            if values is not None:
                _require(len(values) > 0, f"{name} is empty")
                twice = {value for value in values if values.count(value) > 1}
                _require(not twice, f"{name} names {', '.join(map(str, twice))} twice")

    @property
    def taught_by(self) -> tuple[str, ...]:
        """The teachers: the embedded one knows the embedded questions; others come with their own solutions."""
        if self.teacher is not None:
            return self.teacher
        return ("tiny",) if {*self.train_on, *self.refined_on} <= set(EMBEDDED_EVAL) else ("gold",)

    @property
    def tasks(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """What is trained and refined on, by arm: all tasks together, or with ``cross`` every pair of single ones."""
        if not self.cross:
            return ((self.train_on, self.refined_on),)
        return tuple(((taught,), (refined,)) for taught in self.train_on for refined in self.refined_on)

    @property
    def refined_on(self) -> tuple[str, ...]:
        """The benchmarks refined on."""
        return self.refine_on or self.train_on

    def scored_on(self, every: tuple[str, ...]) -> tuple[str, ...]:
        """The benchmarks scored; ``every`` is what ``all`` stands for."""
        if self.eval_on == ("all",):
            return every
        if self.eval_on is not None:
            return self.eval_on
        trained = tuple(dict.fromkeys((*self.train_on, *self.refined_on)))
        return EMBEDDED_EVAL if set(trained) <= set(EMBEDDED_EVAL) and not self.cross else trained

    def as_mapping(self) -> dict[str, Json]:
        """Return the recipe as plain values, under the names of the flags and the YAML file."""
        plain: dict[str, Json] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 and entry.name in _ONE_OR_MORE else list(value)
            plain[_YAML_NAMES.get(entry.name, entry.name)] = value
        plain["set"] = {stage: dict(keys) for stage, keys in self.settings.items()}
        return plain


_YAML_NAMES = {"settings": "set"}
_LISTS = ("train_on", "refine_on", "eval_on")
_ONE_OR_MORE = ("teacher", "student", "fraction")
_TUPLES = (*_LISTS, *_ONE_OR_MORE, "methods", "seeds")
_SWITCHES = ("drop_duplicates", "cross", "eval_teacher")
_KEYS = (*(_YAML_NAMES.get(entry.name, entry.name) for entry in dataclasses.fields(Recipe)), "seed")


def recipe_from(mapping: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe plain values describe. Raises `RecipeError` naming ``where`` and the key that is wrong."""
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).replace("-", "_")
        if name not in _KEYS:
            raise RecipeError(f"{where}: no key is called {key!r}{suggestion(name, _KEYS)}")
        if value is not None:
            values[name] = _read(name, value, where)
    seed = values.pop("seed", None)
    if seed is not None:
        if "seeds" in values:
            raise RecipeError(f"{where}: give seed or seeds, not both")
        values["seeds"] = (seed,)
    if "set" in values:
        values["settings"] = values.pop("set")
    try:
        return Recipe(**values)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _read(name: str, value: Any, where: str) -> Any:
    if name in _LISTS:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise RecipeError(f"{where}: {name} must be a list of benchmarks, got {value!r}")
        return tuple(item.strip() for item in items if item.strip())
    if name == "seeds":
        if _whole(value):
            return seed_range(0, value, where)
        if not isinstance(value, list | tuple) or not all(_whole(item) for item in value):
            raise RecipeError(f"{where}: seeds must be a list of whole numbers, got {value!r}")
        return tuple(value)
    if name in ("limit", "test_limit", "seed"):
        if not _whole(value):
            raise RecipeError(f"{where}: {name} must be a whole number, got {value!r}")
        return value
    if name == "fraction":
        fractions = value if isinstance(value, list | tuple) else [value]
        if not all(_number(one) for one in fractions):
            raise RecipeError(f"{where}: fraction must be a number or a list of numbers, got {value!r}")
        return tuple(float(one) for one in fractions)
    if name == "max_cost":
        if not _number(value):
            raise RecipeError(f"{where}: max_cost must be a number, got {value!r}")
        return float(value)
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise RecipeError(f"{where}: {name} must be true or false, got {value!r}")
        return value
    if name == "methods":
        return _methods(value, where)
    if name in _ONE_OR_MORE:
        specs = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(spec, str) for spec in specs):
            raise RecipeError(f"{where}: {name} must be text or a list of texts, got {value!r}")
        return tuple(specs)
    if name == "set":
        if not isinstance(value, Mapping) or not all(isinstance(keys, Mapping | None) for keys in value.values()):
            raise RecipeError(f"{where}: set must map stages to settings, got {value!r}")
        return {str(stage): {str(key): one for key, one in (keys or {}).items()} for stage, keys in value.items()}
    if not isinstance(value, str):
        raise RecipeError(f"{where}: {name} must be text, got {value!r}")
    return value


def _methods(value: object, where: str) -> tuple[str, ...]:
    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(word in METHODS for word in words):
        raise RecipeError(f"{where}: methods must be a list of {', '.join(METHODS)}, got {value!r}")
    return tuple(words)


def seed_range(first: int, count: int, where: str) -> tuple[int, ...]:
    """Return so many seeds from the first on. Raises `RecipeError` for a count that makes no sense."""
    if not 1 <= count <= _MOST_SEEDS:
        raise RecipeError(f"{where}: seeds must be between 1 and {_MOST_SEEDS}, got {count}")
    return tuple(range(first, first + count))


def load_recipe(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML recipe. Raises `RecipeError` naming the file and what is wrong."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected key: value lines, got {type(content).__name__}")
    return content


def recipe_yaml(recipe: Recipe) -> str:
    """Return the recipe as YAML that `load_recipe` and `recipe_from` read back to an equal recipe."""
    import yaml

    head = "# Repeat this run with: sitkit run --config recipe.yaml\n"
    return head + str(yaml.safe_dump(recipe.as_mapping(), sort_keys=False))


def default_name(recipe: Recipe, digest: str) -> str:
    """Return a run name that says what was run and tells recipes apart by the first digits of their key."""
    parts = ["+".join(recipe.student), recipe.strategy, ("x" if recipe.cross else "+").join(recipe.train_on)]
    slug = re.sub(r"[^A-Za-z0-9+_.-]+", "-", "_".join(parts)).strip("-.")
    return f"{slug[:80]}_{digest[:8]}"


def check_name(name: str) -> str:
    """Return the name if it can be a folder's. Raises `RecipeError` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+_.-]{0,119}", name):
        raise RecipeError(f"--name {name!r}: letters, digits, + _ . - only, starting with a letter or digit")
    return name


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message)
