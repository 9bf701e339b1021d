"""From the flags of ``sitkit run`` and a YAML file to a recipe; a flag wins over the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit.errors import RecipeError, SettingError
from sitkit.recipe import Recipe, load_recipe, recipe_from, seed_range
from sitkit.settings import spread
from sitkit.types import Json

_FLAGS = "command line"


def make_recipe(
    flags: Mapping[str, Any], settings: Sequence[str], seed: int | None, seeds: int | None, config: Path | None
) -> Recipe:
    """Return the recipe. ``flags`` are those given (None: not given); raises `RecipeError` or `SettingError`.

    A data folder is made absolute, so that the written recipe repeats the run from anywhere.
    """
    below = Recipe() if config is None else recipe_from(load_recipe(config), str(config))
    given = {name: value for name, value in flags.items() if value is not None}
    if seed is not None or seeds is not None:
        first = below.seeds[0] if seed is None else seed
        given["seeds"] = seed_range(first, 1 if seeds is None else seeds, _FLAGS)
    above = recipe_from(given, _FLAGS)
    laid = {name: getattr(above, name) for name in given}
    folder = laid.get("data_dir", below.data_dir)
    if folder is not None:
        laid["data_dir"] = str(_existing(folder, _FLAGS if "data_dir" in laid else str(config)))
    return replace(below, **laid, settings=_merge_settings(spread(below.settings), spread(parse_settings(settings))))


def _existing(folder: str, where: str) -> Path:
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise RecipeError(f"{where}: data_dir {folder}: there is no such folder")
    return path


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
