"""Test questions that are training questions too are counted, whatever draw or spelling they come in."""

from typing import Any

from sitkit.components import Component
from sitkit.survey import duplicates
from sitkit.types import Question


class _Made:
    domain = "qa"


class _Identifying(_Made):
    def identity(self, question: Question) -> tuple[str, frozenset[str]]:
        return question.question[0], frozenset()


class _Set:
    def __init__(self, benchmark: Component[Any], split: str, texts: list[str]) -> None:
        self.benchmark, self.split = benchmark, split
        self.questions = [Question(f"{split}-{text}", "b", "choice", "i", text, ("x", "y"), "A") for text in texts]


def test_test_questions_among_the_training_ones_are_counted() -> None:
    def component(name: str, made: Any) -> Component[Any]:
        return Component("benchmark", name, made, {"distribution": "d", "version": "1"})

    plain, other = component("plain", _Made()), component("other", _Identifying())
    sets: list[Any] = [
        _Set(plain, "train", ["How  far?", "one"]), _Set(plain, "train", ["two"]),
        _Set(plain, "test", ["how far?", "three", "Two"]), _Set(plain, "test", ["three"]),
        _Set(other, "train", ["abc"]), _Set(other, "test", ["axx", "bxx"]),
        _Set(component("tested only", _Made()), "test", ["one"]),
    ]  # fmt: skip
    assert duplicates(sets) == [
        {"benchmark": "plain", "n": 3, "in_train": 2},
        {"benchmark": "other", "n": 2, "in_train": 1},
    ]
