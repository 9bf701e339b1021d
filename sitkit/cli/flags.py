"""From the flags of ``sitkit run`` and a YAML file to a recipe; a flag wins over the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sitkit.errors import SettingError
from sitkit.recipe import Recipe, load_recipe, recipe_from
from sitkit.types import Json

_FLAGS = "command line"


def make_recipe(
    flags: Mapping[str, Any], settings: Sequence[str], seed: int | None, seeds: int | None, config: Path | None
) -> Recipe:
    """Return the recipe. ``flags`` are those given (None: not given); raises `RecipeError` or `SettingError`."""
    base: dict[str, Any] = {}
    where = _FLAGS
    if config is not None:
        base, where = load_recipe(config), str(config)
        recipe_from(base, where)
    given = {name: value for name, value in flags.items() if value is not None}
    laid = _merge_settings(base.pop("set", None) or {}, parse_settings(settings))
    merged = {_dashless(key): value for key, value in base.items()} | given
    if seed is not None or seeds is not None:
        merged.pop("seed", None)
        first = seed or 0
        merged["seeds"] = list(range(first, first + (1 if seeds is None else seeds)))
    return recipe_from({**merged, "set": laid}, where if config is not None and not given else _FLAGS)


def parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Read ``stage.key=value`` texts; a later one wins. Raises `SettingError` for one that is malformed."""
    found: dict[str, dict[str, Json]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        stage, dot, key = name.strip().partition(".")
        if not (equals and dot and stage and key):
            raise SettingError(f"--set {text!r}: expected stage.key=value, such as refine.beta=0.2")
        found.setdefault(stage, {})[key] = value.strip()
    return found


def _merge_settings(
    below: Mapping[str, Mapping[str, Json]], above: Mapping[str, Mapping[str, Json]]
) -> dict[str, dict[str, Json]]:
    stages = dict.fromkeys((*below, *above))
    return {stage: {**below.get(stage, {}), **above.get(stage, {})} for stage in stages}


def _dashless(key: object) -> str:
    return str(key).replace("-", "_")
