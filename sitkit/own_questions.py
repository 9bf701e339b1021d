"""Own questions in a recipe: each SPEC among its benchmarks (``file:PATH``) by its name, divided by what a run does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sitkit.capabilities import Divisible
from sitkit.components import Component, QuestionSet, own_name
from sitkit.errors import RecipeError
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.spec import is_spec, parse_spec
from sitkit.types import Benchmark


@dataclass
class _Use:
    """A SPEC as the user gave it, what it makes, and what the run does with it."""

    benchmark: Component[Benchmark]
    trained: bool = False
    scored: bool = False

    @property
    def text(self) -> str:
        return self.benchmark.source


def named(recipe: Recipe, registry: Registry, data_dir: Path | None, train_on: tuple[str, ...]) -> Recipe:
    """Return the recipe with names alone among its benchmarks, and under ``questions`` the SPEC of each own one.

    ``train_on`` are the benchmarks trained on. What is trained on and scored is divided by the benchmark's rule; where
    one of two that have the same name is trained on and the other scored, they are one benchmark. Raises
    `RecipeError` for two that would have the same name otherwise, `SpecError`, and what making them raises.
    """
    trained = (*train_on, *(recipe.refine_on or ()))
    scored = trained if recipe.eval_on is None else recipe.eval_on
    told, names, uses = recipe.questions or {}, dict[str, str](), dict[str, dict[str, _Use]]()
    for word in dict.fromkeys((*trained, *scored)):
        text = told.get(word, word)
        if not is_spec(text):
            continue
        benchmark = _made(text, registry, data_dir)
        name = own_name(benchmark)
        if word in told and name != word:
            raise RecipeError(f"questions: {word}: {text} calls itself {name!r}; use that name")
        if name.lower() in {"all", *(other.lower() for other in registry.names("benchmark"))}:
            raise RecipeError(f"{text} would be called {name}, which means another benchmark: add ,name=NAME to it")
        names[word] = name
        use = uses.setdefault(name, {}).setdefault(_whole(benchmark), _Use(benchmark))
        use.trained |= word in trained
        use.scored |= word in scored

    def by_name(words: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if words is None else tuple(names.get(word, word) for word in words)

    return replace(
        recipe,
        train_on=by_name(train_on),
        refine_on=by_name(recipe.refine_on),
        eval_on=by_name(recipe.eval_on),
        questions={name: _spec(name, list(found.values())) for name, found in uses.items()} or None,
    )


def _made(text: str, registry: Registry, data_dir: Path | None) -> Component[Benchmark]:
    made = registry.benchmark(text, data_dir)
    provider = registry.component("benchmark", parse_spec(text).name).provider
    return Component("benchmark", text, made, provider.as_json(), text)


def _whole(benchmark: Component[Benchmark]) -> str:
    """What two SPECs of the same questions share, however their paths are written."""
    made = benchmark.made
    return made.divided(trained=True, scored=True) if isinstance(made, Divisible) else benchmark.source


def _spec(name: str, uses: list[_Use]) -> str:
    first = uses[0]
    if len(uses) == 1:
        made = first.benchmark.made
        return made.divided(trained=first.trained, scored=first.scored) if isinstance(made, Divisible) else first.text
    if len(uses) == 2:
        train, test = sorted(uses, key=lambda use: use.scored)
        made = train.benchmark.made
        if isinstance(made, Divisible) and (train.scored, test.trained) == (False, False):
            with train.benchmark.calling("with_test"):
                return made.with_test(test.benchmark.made)
    texts = " and ".join(use.text for use in uses)
    raise RecipeError(f"{texts} would both be called {name}: add ,name=NAME to one of them")


def understood(sets: Iterable[QuestionSet]) -> list[str]:
    """Return for each own benchmark of a plan, in a line, what its questions were taken for."""
    found = {}
    for one in sets:
        made = one.benchmark.made
        if isinstance(made, Divisible) and (one.split == "train" or one.benchmark.spec not in found):
            with one.benchmark.calling("understood"):
                found[one.benchmark.spec] = made.understood()
    return list(found.values())


def left_out(sets: Iterable[QuestionSet]) -> list[str]:
    """Return for each benchmark that lost training questions to what is scored, in a sentence, how many."""
    found = dict[str, str]()
    for one in sets:
        if one.left_out:
            found[f"overlap {one.benchmark.spec}"] = (
                f"{one.benchmark.spec}: {len(one.left_out):,} training questions overlap with questions that are scored"
                " and were left out"
            )
        made = one.benchmark.made
        if isinstance(made, Divisible) and one.split == "train" and (count := made.left_out()):
            found[one.benchmark.spec] = (
                f"{one.benchmark.spec}: {count:,} training questions are test questions too and were left out"
            )
    return list(found.values())
