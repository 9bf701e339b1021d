"""Presets: recipes that plugins ship, listed, printed, run by name and gone on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sitkit.errors import RecipeError
from sitkit.plan import build_plan
from sitkit.recipe import load_recipe, make_recipe, recipe_from
from sitkit.registry import Registry, load_plugins
from tests.installed import sitkit_here

PAPER = ("paper/figure4", "paper/literal", "paper/table1", "paper/table10", "paper/table11")


@pytest.fixture(scope="module")
def plugged() -> Registry:
    return load_plugins()


def test_each_of_the_papers_is_a_recipe_whose_first_line_says_what_it_is(plugged: Registry) -> None:
    found = plugged.presets()
    assert tuple(found) == PAPER
    for path in found.values():
        assert recipe_from(load_recipe(path), str(path)).student
        assert path.read_text(encoding="utf-8").startswith("# The paper")


def test_table_1_on_the_embedded_world_has_the_papers_108_cells_shape(plugged: Registry) -> None:
    names = ("tiny_chain", "tiny_shop", "tiny_cups")
    told = {"student": "tiny", "teacher": "tiny", "train_on": names, "refine_on": names, "eval_on": names}
    plan = build_plan(make_recipe({**told, "preset": "paper/table1"}, presets=plugged.presets()), plugged)
    tasks = len(names)
    cells = [(cell.phase, cell.train_on, cell.refine_on, cell.benchmark) for cell in plan.cells]
    assert len(cells) == len(set(cells)) == tasks + 2 * tasks**2 + tasks * (tasks - 1)
    # Six tasks give the paper's 108.
    assert 6 + 2 * 6**2 + 6 * 5 == 108
    crossed = [cell for cell in plan.cells if cell.phase == "refine" and cell.train_on != cell.refine_on]
    assert all(cell.refine_on == (cell.benchmark,) for cell in crossed)
    plan.close()


def test_a_recipe_goes_on_from_a_preset_and_flags_from_both(plugged: Registry, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: paper/literal\nstudent: tiny\nset: {refine: {optim: sgd}}\n", encoding="utf-8")
    recipe = make_recipe({"limit": 7, "set": {"refine": {"beta": 0.3}}}, below=path, presets=plugged.presets())
    assert (recipe.student, recipe.limit, recipe.seeds) == (("tiny",), 7, (0, 1, 2))
    assert recipe.settings["refine"] == {"optim": "sgd", "beta": 0.3}
    assert recipe.settings["evaluate"]["match"] == "contains"


def test_what_is_wrong_with_a_preset_is_one_line(plugged: Registry, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: paper/table2\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.yaml: no preset is called 'paper/table2'.*paper/table1"):
        make_recipe({}, below=path, presets=plugged.presets())
    with pytest.raises(RecipeError, match="a preset and a recipe: give one"):
        make_recipe({"preset": "paper/table1"}, below=path, presets=plugged.presets())
    with pytest.raises(RecipeError, match="cross_eval: it says what is scored with cross: true"):
        make_recipe({"cross_eval": "all"})


def test_presets_are_listed_and_printed(tmp_path: Path) -> None:
    listed = sitkit_here("presets", "--json", path=tmp_path)
    assert [one["name"] for one in json.loads(listed.stdout)] == list(PAPER)
    printed = sitkit_here("presets", "paper/figure4", path=tmp_path)
    assert "fraction_of: demonstrations" in printed.stdout
    wrong = sitkit_here("presets", "paper/figure44", path=tmp_path)
    assert wrong.returncode == 2
    assert "no preset is called 'paper/figure44'" in wrong.stderr
