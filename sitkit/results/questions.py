"""The texts of the questions a run was scored on, which predictions name by id alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sitkit.components import Component, QuestionSet, benchmark_component
from sitkit.errors import SitkitError
from sitkit.registry import Registry, load_plugins
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.types import Benchmark, Question

_TELLING = ("benchmark", "split", "questions")
"""What tells whether the questions are the same; a plugin's version, which is a key's part too, does not."""


class TestQuestions:
    """Asks the benchmarks' plugins for the test questions; only questions that are the very ones scored are given."""

    __test__ = False  # pytest would take it for a test by its name

    def __init__(self, results: Results, stored: StoredRows, registry: Registry | None = None) -> None:
        data_dir = results.recipe["data_dir"]
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._own = results.recipe.get("questions")
        self._stored = stored
        self._registry = registry
        self._sets: dict[tuple[str, int], QuestionSet | None] = {}
        self.missing: dict[str, str] = {}
        """Benchmark -> why its questions cannot be shown."""

    def of(self, benchmark: str, seed: int, key: str) -> Mapping[str, Question]:
        """Return the questions by id that the evaluate stage ``key`` scored; empty where they cannot be had."""
        found = self._set(benchmark, seed)
        if found is None:
            return {}
        try:
            questions, fingerprint = found.questions, found.fingerprint
        except (SitkitError, OSError) as error:
            self.missing[benchmark] = str(error)
            return {}
        material = self._stored.material("evaluate", key)
        scored = None if material is None else material["settings"].get("questions")
        if not isinstance(scored, dict) or any(scored.get(name) != fingerprint[name] for name in _TELLING):
            self.missing[benchmark] = "the benchmark's data is not the data that was scored"
            return {}
        return {question.id: question for question in questions}

    def _set(self, benchmark: str, seed: int) -> QuestionSet | None:
        place = (benchmark, seed)
        if place not in self._sets:
            try:
                self._sets[place] = QuestionSet(self._component(benchmark), "test", seed)
            except SitkitError as error:
                self.missing[benchmark] = str(error)
                self._sets[place] = None
        return self._sets[place]

    def _component(self, name: str) -> Component[Benchmark]:
        if self._registry is None:
            self._registry = load_plugins()
        return benchmark_component(self._registry, name, self._data_dir, self._own)
