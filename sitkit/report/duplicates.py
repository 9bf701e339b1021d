"""Test questions of a run that stand among its training questions too: what is known by heart proves nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from sitkit.components import QuestionSet
from sitkit.types import Json, Question

Identity = tuple[str, frozenset[str]]
"""What two equal questions share: the question, folded, and the set of its options, folded."""


@runtime_checkable
class Identifying(Protocol):
    """What a benchmark may offer beside its questions: when two of them are the same."""

    def identity(self, question: Question) -> Identity:
        """Return what two equal questions share."""


def duplicates(sets: Iterable[QuestionSet]) -> list[dict[str, Json]]:
    """Count, for each benchmark both trained and tested on, the test questions that are training questions too.

    Every draw of a split (one a seed or fraction) counts. Reads the questions, and raises what reading them raises;
    `PluginError` for a benchmark that cannot say when two are the same.
    """
    trained: dict[str, set[Identity]] = {}
    tested: dict[str, dict[str, Identity]] = {}
    for one in sets:
        name, made = one.benchmark.spec, one.benchmark.made
        identity = made.identity if isinstance(made, Identifying) else plain_identity
        questions = one.questions
        with one.benchmark.calling("identity"):
            if one.split == "train":
                trained.setdefault(name, set()).update(identity(question) for question in questions)
            else:
                tested.setdefault(name, {}).update((question.id, identity(question)) for question in questions)
    return [
        {"benchmark": name, "n": len(asked), "in_train": sum(one in trained[name] for one in asked.values())}
        for name, asked in tested.items()
        if name in trained
    ]


def plain_identity(question: Question) -> Identity:
    """Return question and options without case and runs of white space."""
    return _folded(question.question), frozenset(_folded(text) for text in question.choices or ())


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
