"""Recipes: from flags and YAML, and back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.cli.flags import make_recipe
from sitkit.errors import RecipeError, SettingError
from sitkit.recipe import EMBEDDED_EVAL, Recipe, load_recipe, recipe_from, recipe_yaml


def test_the_default_run_trains_on_one_of_each_domain_and_scores_all_four() -> None:
    recipe = make_recipe({}, (), None, None, None)
    assert recipe.train_on == ("tiny_chain", "tiny_cups")
    assert recipe.refined_on == recipe.train_on
    assert recipe.scored_on(("x",)) == EMBEDDED_EVAL


def test_the_embedded_teacher_teaches_the_embedded_tasks_and_gold_the_others() -> None:
    assert make_recipe({}, (), None, None, None).taught_by == ("tiny",)
    assert make_recipe({"train_on": "obqa"}, (), None, None, None).taught_by == ("gold",)
    assert make_recipe({"refine_on": "gsm8k"}, (), None, None, None).taught_by == ("gold",)
    assert make_recipe({"train_on": "obqa", "teacher": "file:x"}, (), None, None, None).taught_by == ("file:x",)


def test_other_tasks_are_scored_on_what_was_trained_and_refined_on() -> None:
    recipe = make_recipe({"train_on": "gsm8k", "refine_on": "multiarith"}, (), None, None, None)
    assert recipe.scored_on(("x",)) == ("gsm8k", "multiarith")
    assert make_recipe({"eval_on": "all"}, (), None, None, None).scored_on(("x", "y")) == ("x", "y")


def test_a_flag_wins_over_the_file_and_settings_are_laid_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("student: hf:a\ntrain-on: gsm8k\nlimit: 5\nseed: 3\nset: {instruct: {epochs: 2, lora_r: 4}}\n")
    recipe = make_recipe({"limit": 7, "student": None}, ("instruct.epochs=9",), None, None, path)
    assert (recipe.student, recipe.train_on, recipe.limit, recipe.seeds) == (("hf:a",), ("gsm8k",), 7, (3,))
    assert recipe.settings == {"instruct": {"epochs": "9", "lora_r": 4}}
    assert make_recipe({}, (), 5, 3, path).seeds == (5, 6, 7)
    assert make_recipe({}, (), None, 2, path).seeds == (3, 4)


@given(
    st.builds(
        Recipe,
        teacher=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=2, unique=True).map(tuple),
        train_on=st.lists(st.from_regex(r"[a-z_0-9]{1,8}", fullmatch=True), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        cross=st.booleans(),
        methods=st.sampled_from([("both",), ("both", "refine"), ("instruct",)]),
        eval_teacher=st.none() | st.booleans(),
        max_cost=st.none() | st.floats(0, 9),
        fraction=st.lists(st.floats(0.01, 1), min_size=1, max_size=3, unique=True).map(tuple),
        limit=st.none() | st.integers(1, 9),
        seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(tuple),
        settings=st.just({"refine": {"beta": 0.1, "loss": None}}),
    )
)
def test_the_written_recipe_reads_back_equal(recipe: Recipe) -> None:
    import yaml

    assert recipe_from(yaml.safe_load(recipe_yaml(recipe)), "x") == recipe


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"fraction": 0.0}, "fraction must be above 0"),
        ({"fraction": 1.5}, "at most 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"train_on": ","}, "train_on is empty"),
        ({"eval_on": "a,a"}, "names a twice"),
        ({"eval_on": "a,all"}, "all stands alone"),
        ({"test_limit": 10**20}, "must be below"),
        ({"data_dir": "nowhere"}, "there is no such folder"),
    ],
)
def test_values_out_of_range_are_refused(flags: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make_recipe(flags, (), None, None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("studnet: tiny", "did you mean 'student'"),
        ("- a\n- b", "expected key: value lines"),
        ("a: [", "no YAML"),
        ("limit: many", "limit must be a whole number"),
        ("seed: 1\nseeds: [1]", "seed or seeds"),
        ("set: 3", "set must map stages"),
        ("train_on: 3", "train_on must be a list"),
        ("seeds: 0", "between 1 and"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said) as caught:
        make_recipe({}, (), None, None, path)
    assert str(path) in str(caught.value)


def test_a_count_of_seeds_and_an_empty_stage_are_fine_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("seeds: 3\nset:\n  refine:\n  instruct: {epochs: 2}\n")
    recipe = make_recipe({}, (), None, None, path)
    assert (recipe.seeds, recipe.settings) == ((0, 1, 2), {"refine": {}, "instruct": {"epochs": 2}})


def test_a_data_folder_is_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert make_recipe({"data_dir": "data"}, (), None, None, None).data_dir == str(tmp_path / "data")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["epochs=2", "instruct.epochs", "=3", ".a=1", "instruct.=1"])
def test_a_malformed_set_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"expected stage\.key=value"):
        make_recipe({}, (text,), None, None, None)
