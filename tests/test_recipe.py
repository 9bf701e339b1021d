"""Recipes: from flags and YAML, and back; a wrong one is one line that says where."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.cli.run import parse_settings
from sitkit.errors import RecipeError, SettingError
from sitkit.recipe import SCHEMA, Recipe, load_recipe, make_recipe, recipe_from, recipe_schema, recipe_yaml
from sitkit.report.write import write_recipe
from sitkit.strict_yaml import load_yaml


def test_a_flag_wins_over_the_file_and_settings_are_laid_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("student: hf:a\ntrain-on: gsm8k\nlimit: 5\nseed: 3\nset: {instruct: {epochs: 2, lora_r: 4}}\n")
    recipe = make_recipe({"limit": 7, "student": None, "set": parse_settings(["instruct.epochs=9"])}, below=path)
    assert (recipe.student, recipe.train_on, recipe.limit, recipe.seeds) == (("hf:a",), ("gsm8k",), 7, (3,))
    assert recipe.settings == {"instruct": {"epochs": 9.0, "lora_r": 4}}
    assert make_recipe({"seed": 5, "seeds": 3}, below=path).seeds == (5, 6, 7)
    assert make_recipe({"seeds": 2}, below=path).seeds == (3, 4)


@given(
    st.builds(
        Recipe,
        teacher=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=2, unique=True).map(tuple),
        train_on=st.lists(st.from_regex(r"[a-z_0-9]{1,8}", fullmatch=True), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        cross=st.booleans(),
        cross_eval=st.none(),
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
    assert recipe_from(load_yaml(recipe_yaml(recipe, "../s.json"), "x"), "x") == recipe


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"fraction": 0.0}, "fraction: expected a number above 0 and at most 1"),
        ({"fraction": 1.5}, "at most 1"),
        ({"limit": 0}, "^command line: limit: expected a whole number between 1 and 2147483647, got 0$"),
        ({"train_on": ","}, "train_on: expected text, or a list of such, got"),
        ({"eval_on": "a,a"}, "names a twice"),
        ({"eval_on": "a,all"}, "all cannot be combined with other names"),
        ({"test_limit": 10**20}, "between 1 and 2147483647"),
        ({"student": "\udcff"}, "student: expected text"),
        ({"max_cost": 1e400}, "max_cost: expected a number of at least 0"),
        ({"data_dir": "nowhere"}, "there is no such folder"),
    ],
)
def test_values_out_of_range_are_refused(flags: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make_recipe(flags, where="command line")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{n}: &{n} [{','.join(['*' + o] * 9)}]\n" for o, n in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("studnet: tiny", 1, "no key is called 'studnet'; did you mean 'student'"),
        ("- a\n- b", 1, "invalid YAML: expected key: value lines, got ['a', 'b']"),
        ("a: [", 1, "invalid YAML: while parsing a flow node expected the node content"),
        ("seed: 3\nlimit: many", 2, "limit: expected a whole number between 1 and 2147483647, got 'many'"),
        ("limit: '5'", 1, "limit: expected a whole number between 1 and 2147483647, got '5'"),
        ("limit: 2001-99-99", 1, "limit: expected a whole number between 1 and 2147483647, got '2001-99-99'"),
        ("limit: " + "9" * 5000, 1, f"invalid YAML: '{'9' * 40}…' is not a valid whole number"),
        ("fraction: 1e400", 1, "fraction: expected a number above 0 and at most 1, or a list of such, got inf"),
        ("limit: 1\n\nlimit: 2", 3, "invalid YAML: the key 'limit' is given twice"),
        ("train-on: a\ntrain_on: b", 2, "train_on is given twice"),
        ("seed: 1\nseeds: [1]", 2, "give seed or seeds, not both"),
        ("set: 3", 1, "set: expected stages with their settings, got 3"),
        ("set:\n  refine:\n    beta: 0", 3, "refine.beta=0: expected a number above 0, or none"),
        ("set:\n  refine: {}\n  refin: {beta: 1}", 3, "no stage is called 'refin'; did you mean 'refine'"),
        ("train_on: 3", 1, "train_on: expected text, or a list of such, got 3"),
        ("methods: [both, twice]", 1, "methods: expected one of both, instruct, refine, or a list of such, got ["),
        ("seeds: 0", 1, "seeds must be between 1 and 10000, got 0"),
        ("seeds: true", 1, "seeds: expected a whole number between 0 and 4294967295, or a list of such, got True"),
        ("cross: 1", 1, "cross: expected true or false, got 1"),
        ('teacher: "\\ud800"', 1, "invalid YAML: '\\ud800' is not a valid text"),
        ("teacher: !!python/name:os.system x", 1, "invalid YAML: values of the tag"),
        ("[" * 30_000, 1, "invalid YAML: nested deeper than 20 levels"),
        ("set: &a {refine: *a}", 1, "invalid YAML: more than 20000 values"),
        (BOMB, 1, "invalid YAML: more than 20000 values, with what aliases stand for"),
        ("? [a, b]\n: c", 1, "invalid YAML: a key must be one word"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_with_its_place_and_the_reason(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((RecipeError, SettingError)) as caught:
        make_recipe({}, below=path)
    assert str(caught.value).startswith(f"{path}, line {line}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"train_on: \xff", b"a: \xed\xa0\x80", b"a: \x07", b"\0", b"x" * 1_000_001])
def test_a_file_that_is_not_text_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"r\.yaml: invalid YAML: ") as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


WORDS = st.sampled_from(
    [*(field.name for field in dataclasses.fields(Recipe)), "seed", "set", "refine", "beta", "train-on"]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**30) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(WORDS, PLAIN, max_size=4))
def test_any_mapping_is_a_recipe_or_one_line(mapping: dict[str, object]) -> None:
    with contextlib.suppress(RecipeError, SettingError):
        recipe = recipe_from(mapping, "x")
        assert recipe_from(load_yaml(recipe_yaml(recipe), "x"), "x") == recipe


MARKS = [*"[]{}|?,~'\"\n", "limit", "set", ": ", "  ", "- ", "&a ", "*a", "!!int ", "<<", "1e9"]


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(MARKS), max_size=20).map("".join)
)  # fmt: skip
def test_any_text_is_a_mapping_or_one_line(text: str) -> None:
    said = ""
    try:
        recipe_from(load_yaml(text, "x"), "x")
    except (RecipeError, SettingError) as error:
        said = str(error)
    assert "\n" not in said


def test_numbers_with_an_exponent_and_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("train_on: &tasks [gsm8k]\neval_on: *tasks\nset: {refine: {learning_rate: 2e-5, weights: 1}}\n")
    recipe = make_recipe({}, below=path)
    assert (recipe.train_on, recipe.eval_on) == (("gsm8k",), ("gsm8k",))
    assert recipe.settings == {"refine": {"learning_rate": 2e-5, "weights": "1"}}


def test_a_count_of_seeds_and_an_empty_stage_are_fine_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("seeds: 3\nset:\n  refine:\n  instruct: {epochs: 2}\n")
    recipe = make_recipe({}, below=path)
    assert (recipe.seeds, recipe.settings) == ((0, 1, 2), {"refine": {}, "instruct": {"epochs": 2}})


def test_a_data_folder_is_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert make_recipe({"data_dir": "data"}).data_dir == str(tmp_path / "data")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["epochs=2", "instruct.epochs", "=3", ".a=1", "instruct.=1"])
def test_a_malformed_set_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"expected stage\.key=value"):
        parse_settings([text])


def schema_errors(mapping: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    return [error.message for error in jsonschema.Draft202012Validator(recipe_schema()).iter_errors(mapping)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "train-on: gsm8k\nlimit: 5\nseed: 3\nset: {instruct: {epochs: 2, lora_r: 4}, train: {processes: 2}, pair: }",
        "cross: true\ntrain_on: [gsm8k, obqa]\nteacher: [gold, other]\nfraction: [0.5, 1.0]\nmethods: [both]\nseeds: 3",
        "eval_on: all\nstudent: tiny\nfraction: 0.5\nmax_cost: 2\nseeds: [4, 5]\nlimit: null",
    ],
)
def test_recipes_are_valid_by_the_schema_as_they_are_when_read(text: str) -> None:
    mapping = load_yaml(text, "x")
    assert schema_errors(mapping) == []
    written = load_yaml(recipe_yaml(recipe_from(mapping, "x")), "x")
    assert schema_errors(written) == []


@pytest.mark.parametrize(
    "text",
    ["studnet: a", "limit: 0", "seed: 1\nseeds: 2", "fraction: 2", "set: {refine: {beta: 0}}", "set: {refin: {}}",
     "set: {train: {beta: 0.1}}", "cross: 1", "methods: [twice]", "teacher: 3"],
)  # fmt: skip
def test_what_a_recipe_must_not_say_is_wrong_by_the_schema_too(text: str) -> None:
    mapping = load_yaml(text, "x")
    assert schema_errors(mapping)
    with pytest.raises((RecipeError, SettingError)):
        recipe_from(mapping, "x")


def test_the_schema_describes_every_key_and_setting() -> None:
    properties = recipe_schema()["properties"]
    only_where_given = {"questions", "plugins", "strategies", "control", "practice_on", "cross_eval"}
    assert set(properties) == {*Recipe().as_mapping(), *only_where_given, "seed", "preset"}
    sections = properties["set"]["properties"].values()
    described = [*properties.values(), *sections, *(one for stage in sections for one in stage["properties"].values())]
    assert all(one["description"] for one in described)
    assert properties["set"]["properties"]["refine"]["properties"]["beta"]["anyOf"][0]["exclusiveMinimum"] == 0
    assert properties["set"]["properties"]["instruct"]["properties"]["epochs"]["default"] == 4.0


def test_a_written_recipe_points_editors_to_the_schema_in_the_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    recipe = Recipe(train_on=("a",), limit=3)
    write_recipe(folder, recipe)
    first, *_ = (folder / "recipe.yaml").read_text(encoding="utf-8").splitlines()
    assert first == f"# yaml-language-server: $schema=../../{SCHEMA}"
    assert json.loads((tmp_path / SCHEMA).read_text(encoding="utf-8")) == recipe_schema()
    assert recipe_from(load_recipe(folder / "recipe.yaml"), "x") == recipe
    (tmp_path / SCHEMA).write_bytes(b"\xff")
    write_recipe(folder, recipe)
    assert json.loads((tmp_path / SCHEMA).read_text(encoding="utf-8")) == recipe_schema()
    made = (tmp_path / SCHEMA).stat().st_ino
    write_recipe(folder, recipe)
    assert (tmp_path / SCHEMA).stat().st_ino == made, "written once"


@pytest.mark.parametrize("name", ["1e5", "-.5e-3", "true", "null", "2001-01-01", "0x1f", "<<", "=", "a: b", "# a", "é"])
def test_text_that_looks_like_something_else_stays_text(name: str) -> None:
    recipe = Recipe(teacher=(name,), data_dir=name)
    assert recipe_from(load_yaml(recipe_yaml(recipe), "x"), "x") == recipe


@pytest.mark.parametrize("given", [{"limit": 0}, {"train_on": "gsm8k"}, {"seeds": (1.5,)}, {"cross": "yes"}])
def test_a_recipe_made_in_python_is_checked_as_well(given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"^{next(iter(given))}: expected "):
        Recipe(**given)
    with pytest.raises(SettingError, match=r"^refine\.beta=0: "):
        Recipe(settings={"refine": {"beta": 0}})
