"""A recipe: what a run is, from flags or a YAML file, validated. The same recipe gives the same scores."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sitkit.errors import RecipeError, SettingError, suggestion
from sitkit.overlap import NGRAM
from sitkit.settings import STAGE_SETTINGS, TRAIN, setting_types, spread
from sitkit.spec import LM_EVAL, split_specs
from sitkit.types import Json, Method
from sitkit.validation import annotated_fields, description, read_value, shown

SCHEMA = "recipe.schema.json"
"""The file in a workspace that holds `recipe_schema`; every recipe.yaml of its runs points editors to it."""

_MOST_SEEDS = 10_000

_Names = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
_Fraction = Annotated[float, Meta(gt=0, le=1)]
_Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run is. ``settings`` are those of ``--set``: stage -> key -> value, over what a student recommends.

    Every student is taught by every teacher, on every fraction, with every seed: each such combination is an arm of
    the run, and what arms share is done once. ``cross`` makes an arm of every pair of a task of ``train_on`` and one
    of ``refine_on``, each alone (the paper's Table 1: with two different tasks it is cross self-refinement);
    otherwise all tasks are trained on together. ``methods`` are the ways a student learns: "both" phases, "instruct"
    alone, or "refine" alone, from the untaught student (Figure 4).

    Where they are None, ``student``, ``strategy`` and ``train_on`` are the defaults that plugins name, ``teacher``
    the one that the tasks trained on name, ``refine_on`` the training tasks, and ``eval_on`` the training and
    refining tasks or, where all of these name the same ones, those scored together with them; `sitkit.plan.build_plan`
    decides that.
    ``eval_on`` may name any lm-eval task beside the benchmarks (``lm-eval:hellaswag``), and where it names such tasks
    alone, the benchmarks are the default ones.
    A benchmark may be a SPEC with an argument (``file:questions.jsonl``); the written recipe has such ones by their
    names, and under ``questions`` what makes them.
    ``plugins`` are files that plug in parts of one's own beside what is installed; their content is part of the keys.
    ``limit`` and ``test_limit`` take the first questions of a split, a ``fraction`` a nested random subset by seed:
    of the training questions, or with ``fraction_of`` "demonstrations" of those kept of all of them; the student then
    answers every question, and pairs are over the share alone.
    ``eval_teacher``: the teachers' own accuracy is taken without the trigger and on the test questions too; None asks
    for the former alone, and not where it costs money. ``max_cost``: what may be spent on teachers, in US dollars.
    ``drop_duplicates`` leaves out training questions that stand in the test split too; ``drop_contaminated`` those that
    share ``ngram`` words in a row with a question that is scored, of whatever benchmark (`sitkit.overlap`).

    Raises `RecipeError` for a value of another type or out of its range, `SettingError` for one of ``settings``.
    """

    teacher: Annotated[_Names | None, Meta(description="who answers the training questions: a SPEC, or several")] = None
    student: Annotated[_Names | None, Meta(description="the model that learns: a SPEC, or several")] = None
    strategy: Annotated[str | None, Meta(description="how preference pairs are chosen: a SPEC")] = None
    strategies: Annotated[
        _Names | None, Meta(description="strategies compared in one run, each on what they share: SPECs")
    ] = None
    control: Annotated[
        str | None,
        Meta(description="the one of these that the others are held against; default: the first plain fine-tuning"),
    ] = None
    train_on: Annotated[_Names | None, Meta(description="benchmarks of the demonstrations")] = None
    refine_on: Annotated[_Names | None, Meta(description="benchmarks refined on; default: those trained on")] = None
    practice_on: Annotated[
        _Names | None,
        Meta(description="benchmarks to practise on without demonstrations: NAME, or NAME:N for N questions"),
    ] = None
    eval_on: Annotated[
        _Names | None,
        Meta(description="benchmarks scored, or all, and lm-eval:TASK; default: those trained and refined on"),
    ] = None
    questions: Annotated[
        dict[str, str] | None,
        Meta(description="own questions: the name of a benchmark and its SPEC"),
    ] = None
    plugins: Annotated[
        _Names | None,
        Meta(description="plugins that are single files: paths, from the recipe's folder"),
    ] = None
    cross: Annotated[bool, Meta(description="an arm for every pair of a task trained on and one refined on")] = False
    cross_eval: Annotated[
        Literal["all", "refined_on"] | None,
        Meta(
            description="what a student refined on another task than it was instructed on is scored on: all, or"
            " refined_on alone, as in the paper's Table 1"
        ),
    ] = None
    methods: Annotated[
        tuple[Method, ...], Meta(min_length=1, description="how a student learns: in both phases, or in one alone")
    ] = ("both",)
    fraction: Annotated[
        tuple[_Fraction, ...], Meta(min_length=1, description="nested random share of the training questions")
    ] = (1.0,)
    fraction_of: Annotated[
        Literal["questions", "demonstrations"],
        Meta(
            description="what a fraction is a share of: the training questions, or their demonstrations that are kept"
        ),
    ] = "questions"
    limit: Annotated[_Limit | None, Meta(description="take the first so many training questions")] = None
    test_limit: Annotated[_Limit | None, Meta(description="take the first so many test questions")] = None
    seeds: Annotated[
        tuple[_Seed, ...], Meta(min_length=1, max_length=_MOST_SEEDS, description="the seeds, or how many, from 0 on")
    ] = (0,)
    data_dir: Annotated[str | None, Meta(description="read benchmarks from this folder instead of the hub")] = None
    drop_duplicates: Annotated[bool, Meta(description="leave out training questions that are test questions too")] = (
        False
    )
    drop_contaminated: Annotated[
        bool, Meta(description="leave out training questions that share words in a row with scored ones")
    ] = False
    ngram: Annotated[int, Meta(ge=3, le=100, description="how many words in a row make two questions overlap")] = NGRAM
    eval_teacher: Annotated[
        bool | None, Meta(description="score the teacher too; default: on training questions, where it is free")
    ] = None
    max_cost: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="stop before teachers cost more than this, in US dollars")
    ] = None
    settings: Annotated[
        Mapping[str, Mapping[str, Any]], Meta(description="settings of the stages, over what a student recommends")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in _types().items():
            value = getattr(self, name)
            if name != "settings":
                object.__setattr__(self, name, _read(name, kind, value))
            if isinstance(value, tuple):
                twice = dict.fromkeys(item for item in value if value.count(item) > 1)
                _require(not twice, f"{name} names {', '.join(map(str, twice))} twice")
        names = [name for name in self.eval_on or () if not name.startswith(LM_EVAL)]
        _require(
            "all" not in names[1:] + names[:-1],
            "all cannot be combined with other names",
        )
        spread(self.settings)
        _require(
            self.strategies is None or self.strategy in (None, *self.strategies[:1]),
            f"strategies: {self.strategy} is given as strategy too; it must be the first of them, or left out",
        )
        _require(
            self.control is None or self.control in (self.strategies or ()),
            f"control: {self.control} is not one of the strategies",
        )
        _require(
            len(self.strategies or ()) < 2 or self.refines,
            "strategies: they are told apart by refining, which methods: instruct leaves out",
        )
        several = [name for name in ("teacher", "student", "fraction", "methods") if len(getattr(self, name) or ()) > 1]
        several += ["cross"] if self.cross else []
        _require(self.cross_eval is None or self.cross, "cross_eval: it says what is scored with cross: true alone")
        _require(
            len(self.strategies or ()) < 2 or not several,
            f"strategies: they are compared for one teacher, student, fraction and method, and not across"
            f" {', '.join(several)}",
        )

    @property
    def refines(self) -> bool:
        """Whether any student is refined, which ``methods: instruct`` leaves out."""
        return self.methods != ("instruct",)

    @property
    def taught_on(self) -> tuple[str, ...]:
        """The benchmarks trained on; empty while the default is not decided."""
        return self.train_on or ()

    @property
    def refined_on(self) -> tuple[str, ...]:
        """The benchmarks refined on."""
        return self.refine_on or self.taught_on

    @property
    def tasks(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """What is trained and refined on, by arm: all tasks together, or with ``cross`` every pair of single ones."""
        if not self.cross:
            return ((self.taught_on, self.refined_on),)
        return tuple(((taught,), (refined,)) for taught in self.taught_on for refined in self.refined_on)

    def as_mapping(self) -> dict[str, Json]:
        """Return the recipe as plain values, under the names of the flags and the YAML file."""
        plain: dict[str, Json] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 and entry.name in _ONE_OR_MORE else list(value)
            if value is not None or entry.name not in _ONLY_WHERE_GIVEN:
                plain[_YAML_NAMES.get(entry.name, entry.name)] = value
        plain["set"] = {stage: dict(keys) for stage, keys in self.settings.items()}
        return plain


_YAML_NAMES = {"settings": "set"}
_ONLY_WHERE_GIVEN = ("questions", "plugins", "strategies", "control", "practice_on", "cross_eval")
_COMMAS = ("train_on", "refine_on", "practice_on", "eval_on", "methods", "strategies")
_ONE_OR_MORE = ("teacher", "student", "fraction", "plugins")
_KEYS = (*(_YAML_NAMES.get(entry.name, entry.name) for entry in dataclasses.fields(Recipe)), "seed")


@functools.cache
def _types() -> Mapping[str, Any]:
    return annotated_fields(Recipe)


def _read(name: str, kind: Any, value: Any) -> Any:
    try:
        return read_value(kind, value)
    except ValueError as error:
        single = name in (*_ONE_OR_MORE, "seeds") and isinstance(value, list | tuple) and len(value) == 1
        raise RecipeError(f"{name}: {error}, got {shown(value[0] if single else value, quoted=True)}") from error


def recipe_from(mapping: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe plain values describe.

    Raises `RecipeError`, or `SettingError` for what stands under "set", naming ``where``, the key, and its line if
    the mapping is one of `load_recipe`.
    """
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        with _located(where, mapping, key):
            name = str(key).replace("-", "_")
            if name not in _KEYS:
                raise RecipeError(f"no key is called {shown(key)!r}{suggestion(name, _KEYS)}")
            target = {"seed": "seeds", "set": "settings"}.get(name, name)
            if value is not None and target in values:
                raise RecipeError("give seed or seeds, not both" if target == "seeds" else f"{name} is given twice")
            if value is not None and name != "set":
                values[target] = _read(target, _types()[target], _listed(name, value))
        if value is not None and name == "set":
            values[target] = _settings(mapping, key, where)
    with _located(where):
        return Recipe(**values)


def make_recipe(
    given: Mapping[str, Any],
    *,
    below: Recipe | Mapping[str, Any] | Path | None = None,
    where: str = "recipe",
    presets: Mapping[str, Path] | None = None,
) -> Recipe:
    """Return the recipe of what is ``given`` (None: not given) over another recipe, its plain values or a YAML file.

    Under the key "preset" what is given, or the file, names the one of ``presets`` (name -> YAML file) it is based on.
    Settings under "set" are laid over one by one. ``seeds`` as a number counts from ``seed`` on, or from the first seed
    of what lies below. A data folder is made absolute, and so are the files of plugins, which a YAML file names from
    its own folder on, so that the written recipe repeats the run from anywhere.
    Raises `RecipeError` or `SettingError` naming ``where``, or the file, and the key.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if (named := said.pop("preset", None)) is not None:
        if below is not None:
            raise RecipeError(f"{where}: a preset and a recipe: give one, and `preset: {named}` in the recipe")
        below = _preset(named, presets, where)
    if isinstance(below, Path):
        from_file, mapping = str(below), load_recipe(below)
        based = mapping.pop("preset", None)
        base = recipe_from(mapping, from_file)
        if based is not None:
            base = make_recipe(mapping, below=_preset(based, presets, from_file), where=from_file)
    else:
        base, from_file = (below if isinstance(below, Recipe) else recipe_from(below or {}, where)), where
    seed, seeds = said.get("seed"), said.get("seeds")
    if isinstance(seeds, int) and not isinstance(seeds, bool) and not isinstance(seed, bool | float | str):
        said["seeds"] = seed_range(base.seeds[0] if seed is None else seed, seeds, where)
        said.pop("seed", None)
    settings = said.pop("set", {})
    above = recipe_from({**said, "set": settings}, where)
    names = {"seeds" if name == "seed" else name.replace("-", "_") for name in said}
    laid = {name: getattr(above, name) for name in names}
    folder = laid.get("data_dir", base.data_dir)
    if folder is not None:
        laid["data_dir"] = str(_existing(folder, where if "data_dir" in laid else from_file))
    if "plugins" in laid:
        laid["plugins"] = _files(laid["plugins"], where, Path())
    elif base.plugins is not None:
        laid["plugins"] = _files(base.plugins, from_file, below.parent if isinstance(below, Path) else Path())
    return dataclasses.replace(base, **laid, settings=_over(spread(base.settings), spread(above.settings)))


def _preset(name: object, presets: Mapping[str, Path] | None, where: str) -> Path:
    known = presets or {}
    if name not in known:
        raise RecipeError(
            f"{where}: no preset is called {shown(name, quoted=True)}{suggestion(str(name), known)}; `sitkit presets`"
            " lists them"
        )
    return known[str(name)]


def _existing(folder: str, where: str) -> Path:
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise RecipeError(f"{where}: data_dir {folder}: there is no such folder")
    return path


def _files(files: tuple[str, ...], where: str, folder: Path) -> tuple[str, ...]:
    paths = [(folder / Path(file).expanduser()).absolute() for file in files]
    for path in paths:
        if not path.is_file():
            raise RecipeError(f"{where}: plugins: {path}: there is no such file")
    return tuple(os.path.normpath(path) for path in paths)


def _over(below: Mapping[str, Mapping[str, Any]], above: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {stage: {**below.get(stage, {}), **above.get(stage, {})} for stage in dict.fromkeys((*below, *above))}


def _listed(name: str, value: object) -> object:
    """Write as a list what a person may write as one value, with commas, or as a count."""
    if name in _COMMAS and isinstance(value, str):
        return split_specs(value)
    if name == "seeds" and isinstance(value, int) and not isinstance(value, bool):
        return seed_range(0, value)
    return [value] if name in (*_ONE_OR_MORE, "seed") and not isinstance(value, list | tuple) else value


def _settings(mapping: Mapping[str, Any], name: str, where: str) -> dict[str, dict[str, Any]]:
    """Return the settings under "set", each tried by itself, so that a wrong one is named with its line."""
    given = mapping[name]
    with _located(where, mapping, name):
        if not isinstance(given, Mapping) or not all(isinstance(keys, Mapping | None) for keys in given.values()):
            raise RecipeError(f"set: expected stages with their settings, got {shown(given, quoted=True)}")
    for stage, keys in given.items():
        with _located(where, given, stage):
            spread({stage: {}})
        for key, value in (keys or {}).items():
            with _located(where, keys, key):
                spread({stage: {key: value}})
    return {str(stage): {str(key): value for key, value in (keys or {}).items()} for stage, keys in given.items()}


@contextlib.contextmanager
def _located(where: str, mapping: Mapping[str, Any] | None = None, key: object = None) -> Iterator[None]:
    line = getattr(mapping, "lines", {}).get(key)
    try:
        yield
    except (RecipeError, SettingError) as error:
        place = where if line is None else f"{where}, line {line}"
        raise type(error)(f"{place}: {error}") from error


def seed_range(first: int, count: int, where: str = "") -> tuple[int, ...]:
    """Return so many seeds from the first on. Raises `RecipeError` for a count that makes no sense."""
    if not 1 <= count <= _MOST_SEEDS:
        place = f"{where}: " if where else ""
        raise RecipeError(f"{place}seeds must be between 1 and {_MOST_SEEDS}, got {shown(count)}")
    return tuple(range(first, first + count))


def load_recipe(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML recipe, which knows its lines. Raises `RecipeError` naming file, line and reason."""
    from sitkit.strict_yaml import load_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: invalid YAML: byte {error.start} is not UTF-8 text") from error
    return load_yaml(text, str(path))


_REMINDER = "# All settings are those used. For another student or strategy, leave out what it should decide itself.\n"


def recipe_yaml(recipe: Recipe, schema: str = "") -> str:
    """Return the recipe as YAML that `load_recipe` and `recipe_from` read back to an equal recipe.

    ``schema`` is the path of `recipe_schema`'s file from the recipe's folder, for editors (yaml-language-server).
    """
    from sitkit.strict_yaml import dump_yaml

    head = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return f"{head}# Repeat this run with: sitkit run --config recipe.yaml\n{_REMINDER}{dump_yaml(recipe.as_mapping())}"


def recipe_schema() -> dict[str, Json]:
    """Return the JSON schema (draft 2020-12) of a recipe file: every key and setting with what it takes and means."""
    defaults = {entry.name: entry.default for entry in dataclasses.fields(Recipe)}
    kinds = {name: kind for name, kind in _types().items() if name != "settings"}
    properties = {name: _property(name, kind, defaults[name]) for name, kind in kinds.items()}
    properties["seed"] = {**msgspec.json.schema(_Seed), "description": "the one seed of training and sampling"}
    properties["preset"] = {"description": "the preset this recipe is based on (sitkit presets)", "type": "string"}
    properties["set"] = {
        "description": description(_types()["settings"]),
        "type": ["object", "null"],
        "properties": {stage: _section(stage) for stage in (TRAIN, *STAGE_SETTINGS)},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of sitkit",
        "type": "object",
        "properties": properties,
        # Keys may be written as the flags are.
        "patternProperties": {f"^{name.replace('_', '-')}$": properties[name] for name in kinds if "_" in name},
        "additionalProperties": False,
        "not": {"required": ["seed", "seeds"]},
    }


def _property(name: str, kind: Any, default: object) -> dict[str, Json]:
    schema = msgspec.json.schema(kind)
    said = schema.pop("description")
    forms = schema.pop("anyOf", [schema])
    if name in _COMMAS:
        forms = [*forms, {"type": "string"}]
    elif name == "seeds":
        forms = [*forms, {"type": "integer", "minimum": 1, "maximum": _MOST_SEEDS}]
    elif name in _ONE_OR_MORE:
        forms = [*forms, forms[0]["items"]]
    shape = {"anyOf": forms} if len(forms) > 1 else forms[0]
    plain = list(default) if isinstance(default, tuple) else default
    return {"description": said, **shape, **({} if plain is None else {"default": plain})}


def _section(stage: str) -> dict[str, Json]:
    """Return the schema of a stage's settings; those of "train" have no one default."""
    kind = STAGE_SETTINGS.get(stage)
    defaults = {} if kind is None else {entry.name: entry.default for entry in dataclasses.fields(kind)}
    settings = {
        key: {**msgspec.json.schema(setting), **({"default": defaults[key]} if key in defaults else {})}
        for key, setting in setting_types(stage).items()
    }
    meaning = "What instruct and refine share, set for both." if kind is None else kind.__doc__
    return {
        "description": meaning,
        "type": ["object", "null"],
        "properties": settings,
        "additionalProperties": False,
    }


def default_name(recipe: Recipe, digest: str) -> str:
    """Return a run name that says what was run and tells recipes apart by the first digits of their key."""
    tasks = ("x" if recipe.cross else "+").join(recipe.taught_on)
    strategy = "+".join(recipe.strategies or (str(recipe.strategy),)) if recipe.refines else "instruct"
    slug = re.sub(r"[^A-Za-z0-9+_.-]+", "-", f"{'+'.join(recipe.student or ())}_{strategy}_{tasks}").strip("-.")
    return f"{slug[:80]}_{digest[:8]}"


def check_name(name: str) -> str:
    """Return the name if it can be a folder's. Raises `RecipeError` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+_.-]{0,119}", name):
        raise RecipeError(f"--name {name!r}: letters, digits, + _ . - only, starting with a letter or digit")
    return name


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message)
