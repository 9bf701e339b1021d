"""Test questions of a run that stand among its training questions too: what is known by heart proves nothing."""

from __future__ import annotations

from collections.abc import Iterable

from sitkit.capabilities import Identity, QuestionIdentifier, plain_identity
from sitkit.components import QuestionSet
from sitkit.types import Json


def duplicates(sets: Iterable[QuestionSet]) -> list[dict[str, Json]]:
    """Count, for each benchmark both trained and tested on, the test questions that are training questions too.

    Every draw of a split (one a seed or fraction) counts. Reads the questions, and raises what reading them raises;
    `PluginError` for a benchmark that cannot say when two are the same.
    """
    trained: dict[str, set[Identity]] = {}
    tested: dict[str, dict[str, Identity]] = {}
    for one in sets:
        name, made = one.benchmark.spec, one.benchmark.made
        identity = made.identity if isinstance(made, QuestionIdentifier) else plain_identity
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
