"""results.json that was changed by hand: noticed although its digest fits, and built again from the store."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sitkit.errors import RunNotFoundError
from sitkit.registry import Registry
from sitkit.results.files import load_results, read_results, write_results
from sitkit.results.model import Results, sealed
from tests.example_runs import example_registry, make_run

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Registry, Results]]:
    with example_registry() as registry:
        folder, _ = make_run(registry, tmp_path_factory.mktemp("w"), "r", seeds=(0, 1), eval_teacher=True)
        yield folder, registry, read_results(folder)


def _put(*place: str | int) -> Change:
    """Make the number at that place another, in the first of every list on the way."""

    def change(plain: dict[str, Any]) -> None:
        *way, last = place
        inner: Any = plain
        for step in way:
            inner = inner[step]
        inner[last] = inner[last] * 2 + 0.25 if isinstance(inner[last], float) else inner[last] + 1

    return change


CHANGES: dict[str, Change] = {
    "a seed's accuracy": _put("cells", 0, "seeds", 0, "value"),
    "a cell's accuracy": _put("cells", 0, "value"),
    "a standard error": _put("cells", 0, "over_questions"),
    "a count": _put("cells", 1, "seeds", 0, "worked"),
    "a gain": _put("changes", 0, "value"),
    "the gain of the test": _put("changes", 0, "paired", "difference"),
    "questions gained": _put("changes", 0, "paired", "gained"),
    "pairs": _put("pairs", 0, "total"),
    "steps": _put("training", 0, "steps"),
    "answers of the teacher": _put("demonstrations", 0, "right"),
    "the teacher's accuracy": _put("teacher_scores", 0, "value"),
    "tokens": _put("usage", "prompt_tokens"),
    "seconds": _put("stages", 0, "seconds"),
    "the recipe": lambda plain: plain["recipe"].update(limit=7),
    "versions": lambda plain: plain["versions"].update(python="2.7"),
    "a benchmark": lambda plain: plain["cells"][0].update(benchmark="gsm8k"),
    "a stage's name": lambda plain: plain["pairs"][0].update(key="0" * 64),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_number_changed_with_its_digest_is_noticed_and_the_results_built_again(
    finished: tuple[Path, Registry, Results], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, registry, before = finished
    plain = json.loads(msgspec.json.encode(before))
    CHANGES[what](plain)
    write_results(folder, sealed(msgspec.convert(plain, Results)))
    with pytest.raises(RunNotFoundError, match=r"results\.json cannot be used: .* the store has"):
        read_results(folder)
    with caplog.at_level(logging.WARNING):
        again = load_results(folder, registry)
    assert (again.cells, again.changes, again.recipe) == (before.cells, before.changes, before.recipe)
    (said,) = caplog.messages
    assert "results.json cannot be used" in said
    assert said.endswith("; it was built again from the store")
    assert read_results(folder) == again
