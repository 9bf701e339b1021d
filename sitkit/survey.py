"""What a benchmark's questions are: rows, classes, and questions that stand there twice or in both splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sitkit.capabilities import Identity, QuestionIdentifier, Sourced, plain_identity
from sitkit.components import QuestionSet
from sitkit.types import Benchmark, Json, Question, Split


def duplicates(sets: Iterable[QuestionSet]) -> list[dict[str, Json]]:
    """Count, for each benchmark both trained and tested on, the test questions that are training questions too.

    Of other benchmarks tested on, those of which a user's own training questions hold some are counted as well. Every
    draw of a split (one a seed or fraction) counts. Reads the questions, and raises what reading them raises;
    `PluginError` for a benchmark that cannot say when two are the same.
    """
    trained: dict[str, set[Identity]] = {}
    tested: dict[str, dict[str, tuple[Identity, Question]]] = {}
    own = set[Identity]()
    for one in sets:
        name, made = one.benchmark.spec, one.benchmark.made
        identity = made.identity if isinstance(made, QuestionIdentifier) else plain_identity
        questions = one.questions
        with one.benchmark.calling("identity"):
            if one.split == "train":
                trained.setdefault(name, set()).update(identity(question) for question in questions)
            else:
                tested.setdefault(name, {}).update((each.id, (identity(each), each)) for each in questions)
        if one.split == "train" and one.benchmark.source:
            own.update(plain_identity(question) for question in questions)
    found = []
    for name, asked in tested.items():
        if name in trained:
            count = sum(known in trained[name] for known, _ in asked.values())
        else:
            count = sum(plain_identity(question) in own for _, question in asked.values()) if own else 0
        if name in trained or count:
            found.append({"benchmark": name, "n": len(asked), "in_train": count})
    return found


def survey(name: str, benchmark: Benchmark, seed: int) -> Json:
    """Return the counts of both splits as plain values. Raises what reading the questions raises.

    "source" counts all rows of the source's split, the rest what is drawn from it. "repeated" counts surplus rows,
    "also_in_train" the test rows that stand in train; each by the question alone, and with its options.
    """
    train, test = benchmark.questions("train", seed), benchmark.questions("test", seed)
    sourced = benchmark if isinstance(benchmark, Sourced) else None
    pools = (train, test) if sourced is None else (sourced.pool("train"), sourced.pool("test"))
    identity = plain_identity if sourced is None else sourced.identity
    every = {one.id: one for one in (*pools[0], *pools[1], *train, *test)}
    identities = {one: identity(question) for one, question in every.items()}

    def repeated(questions: Sequence[Question]) -> Json:
        found = [identities[one.id] for one in questions]
        return {"question": len(found) - len({text for text, _ in found}), "with_options": len(found) - len(set(found))}

    def also_in(tested: Sequence[Question], trained: Sequence[Question]) -> Json:
        seen = [identities[one.id] for one in trained]
        texts, items = {text for text, _ in seen}, set(seen)
        asked = [identities[one.id] for one in tested]
        return {"question": sum(one[0] in texts for one in asked), "with_options": sum(one in items for one in asked)}

    def split(which: Split, questions: Sequence[Question], pool: Sequence[Question]) -> Json:
        classes = _classes(questions)
        paper = {} if sourced is None else dict(sourced.paper(which))
        return {
            "from": None if sourced is None else sourced.origin(which),
            "rows": len(questions),
            "per_class": classes,
            "repeated": repeated(questions),
            "source": {"rows": len(pool), "per_class": _classes(pool), "repeated": repeated(pool)},
            "paper": paper or None,
            "agrees_with_paper": _agrees(len(questions), classes, paper) if paper else None,
        }

    found = {"train": split("train", train, pools[0]), "test": split("test", test, pools[1])}
    found["test"]["also_in_train"] = also_in(test, train)
    # Where both splits are drawn from one, every row of it is in both.
    if {one.id for one in pools[0]}.isdisjoint(one.id for one in pools[1]):
        found["test"]["source"]["also_in_train"] = also_in(pools[1], pools[0])
    return {"benchmark": name, "domain": benchmark.domain, "seed": seed, "splits": found}


def _classes(questions: Iterable[Question]) -> dict[str, int] | None:
    letters = Counter(one.target for one in questions if one.kind == "choice")
    return dict(sorted(letters.items())) or None


def _agrees(rows: int, classes: Mapping[str, int] | None, paper: Mapping[str, int]) -> bool:
    if "rows" in paper:
        return rows == paper["rows"]
    expected, tolerance = paper["per_class"], paper.get("tolerance", 0)
    return classes is not None and all(abs(count - expected) <= tolerance for count in classes.values())
