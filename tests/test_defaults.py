"""What a recipe leaves open is decided by the plugins: defaults by a hook, teachers and tasks by the benchmarks."""

from dataclasses import replace
from typing import Any

import pytest

from sitkit.errors import PluginError, RecipeError
from sitkit.hookspecs import hookimpl
from sitkit.plan import build_plan, default_tasks
from sitkit.providers import Provider
from sitkit.recipe import Recipe, default_name
from sitkit.registry import Registry, build_registry, load_plugins

EMBEDDED = ("tiny_chain", "tiny_shop", "tiny_cups", "tiny_gifts")


def decided(**given: Any) -> Recipe:
    return build_plan(Recipe(**given), load_plugins()).recipe


def test_the_default_run_trains_on_one_of_each_domain_and_scores_all_four() -> None:
    recipe = decided()
    assert (recipe.student, recipe.strategy, recipe.teacher) == (("tiny",), "dpo-cot", ("tiny",))
    assert (recipe.train_on, recipe.refined_on) == (("tiny_chain", "tiny_cups"), ("tiny_chain", "tiny_cups"))
    assert recipe.eval_on == EMBEDDED
    assert default_name(recipe, "0123456789") == "tiny_dpo-cot_tiny_chain+tiny_cups_01234567"


def test_a_matrix_scores_what_it_trains_on_and_by_default_takes_all_four() -> None:
    assert decided(cross=True, train_on=("tiny_shop", "tiny_cups")).eval_on == ("tiny_shop", "tiny_cups")
    assert default_tasks(load_plugins()) == EMBEDDED


def test_what_is_given_is_not_decided(example: Registry) -> None:
    given: dict[str, Any] = {
        "student": ("counter",),
        "strategy": "spelled-first",
        "train_on": ("letters",),
        "teacher": ("speller",),
    }
    recipe = build_plan(Recipe(**given), example).recipe
    assert {name: getattr(recipe, name) for name in given} == given
    assert recipe.eval_on == ("letters",)


@pytest.fixture
def plugged(example: Registry) -> Any:
    """Register benchmarks of the example under further names, with what they say of defaults; and a plugin's own."""
    from sitkit_example.benchmark import Letters  # type: ignore[import-not-found]

    def build(teachers: dict[str, object], scored: dict[str, object], **defaults: object) -> Registry:
        def named(name: str) -> Any:
            methods: dict[str, Any] = {
                "questions": lambda self, split, seed: [
                    replace(one, benchmark=name) for one in Letters.questions(self, split, seed)
                ]
            }
            if name in teachers:
                methods["default_teacher"] = lambda self: teachers[name]
            if name in scored:
                methods["scored_with"] = lambda self: scored[name]
            return type(name, (Letters,), methods)()

        class Plugin:
            @hookimpl
            def sitkit_benchmarks(self, register: Any) -> None:
                for name in ("one", "two"):
                    register(name, lambda spec, context, name=name: named(name))

            @hookimpl
            def sitkit_defaults(self) -> Any:
                return defaults

        if example.manager.has_plugin("second"):
            example.manager.unregister(name="second")
        example.manager.register(Plugin(), name="second")
        return build_registry(example.manager, {**example.providers, "second": Provider("sitkit-example", "1")})

    return build


PARTS: dict[str, Any] = {"student": ("counter",), "strategy": "spelled-first", "train_on": ("one", "two")}


def test_benchmarks_name_their_teacher_and_what_is_scored_beside_them(plugged: Any) -> None:
    registry = plugged({"one": "speller,slips=4"}, {name: ["two", "one", "letters"] for name in ("one", "two")})
    recipe = build_plan(Recipe(**PARTS), registry).recipe
    assert (recipe.teacher, recipe.eval_on) == (("speller,slips=4",), ("two", "one", "letters"))
    alone = build_plan(Recipe(**PARTS), plugged({"one": "speller"}, {"one": ["one", "letters"]})).recipe
    assert alone.eval_on == ("one", "two"), "they do not name the same"


def test_teachers_that_differ_or_none_at_all_are_one_line(plugged: Any) -> None:
    with pytest.raises(RecipeError, match=r"^the default teachers differ \(a for one, b for two\): give --teacher$"):
        build_plan(Recipe(**PARTS), plugged({"one": "a", "two": "b"}, {}))
    with pytest.raises(RecipeError, match=r"^one, two: no default teacher: give --teacher$"):
        build_plan(Recipe(**PARTS), plugged({}, {}))


@pytest.mark.parametrize(
    ("key", "flag"), [("student", "--student"), ("strategy", "--strategy"), ("train_on", "--train-on")]
)
def test_a_default_that_no_plugin_names_is_one_line(plugged: Any, key: str, flag: str) -> None:
    with pytest.raises(RecipeError, match=f"^no plugin names a default: give {flag}$"):
        build_plan(Recipe(**{**PARTS, key: None}), plugged({"one": "speller"}, {}))


def test_a_plugin_that_answers_nonsense_is_named(plugged: Any) -> None:
    with pytest.raises(PluginError, match=r"benchmark one \(of sitkit-example\): default_teacher gave 3"):
        build_plan(Recipe(**PARTS), plugged({"one": 3}, {}))
    with pytest.raises(PluginError, match=r"scored_with gave \['letters'\]: expected names"):
        build_plan(Recipe(**PARTS), plugged({"one": "speller"}, {"one": ["letters"]}))


def test_the_first_plugin_that_names_a_default_wins_and_others_fill_in(example: Registry) -> None:
    def plugin(**defaults: object) -> Any:
        return type("Plugin", (), {"sitkit_defaults": hookimpl(lambda self: defaults)})()

    example.manager.register(plugin(student="counter", train_on="letters"), name="b")
    example.manager.register(plugin(student="late", strategy="spelled-first"), name="c")
    made = build_registry(example.manager, {**example.providers, "b": Provider("b", "1"), "c": Provider("c", "1")})
    assert made.defaults == {"student": ("counter",), "train_on": ("letters",), "strategy": ("spelled-first",)}
    assert made.broken == []
