"""A recipe's names to parts: each made once, its questions loaded once, whichever stages use them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sitkit.errors import RecipeError
from sitkit.parts import Part, PartT, QuestionSet
from sitkit.registry import Registry
from sitkit.select import Selection
from sitkit.spec import parse_spec
from sitkit.types import Benchmark, Deduplicating, Strategy, Student, Teacher


@dataclass
class Parts:
    """Parts and question sets by name."""

    registry: Registry
    data_dir: Path | None
    drop_duplicates: bool
    benchmarks: dict[str, Part[Benchmark]] = field(default_factory=dict)
    deduplicated: dict[str, Part[Benchmark]] = field(default_factory=dict)
    sets: dict[tuple[object, ...], QuestionSet] = field(default_factory=dict)

    def _part(self, kind: str, name: str, spec: str, made: PartT) -> Part[PartT]:
        provider = self.registry.part(kind, name).provider
        return Part(kind, spec, made, {"distribution": provider.distribution, "version": provider.version})

    def teacher(self, spec: str) -> Part[Teacher]:
        """Make a teacher."""
        parsed = parse_spec(spec)
        return self._part("teacher", parsed.name, spec, self.registry.teacher(parsed, self.data_dir))

    def student(self, spec: str) -> Part[Student]:
        """Make a student."""
        parsed = parse_spec(spec)
        return self._part("student", parsed.name, spec, self.registry.student(parsed, self.data_dir))

    def strategy(self, spec: str) -> Part[Strategy]:
        """Make a strategy."""
        parsed = parse_spec(spec)
        return self._part("strategy", parsed.name, spec, self.registry.strategy(parsed, self.data_dir))

    def benchmark(self, name: str) -> Part[Benchmark]:
        """Return a benchmark."""
        if name not in self.benchmarks:
            made = self.registry.benchmark(name, self.data_dir)
            self.benchmarks[name] = self._part("benchmark", name, name, made)
        return self.benchmarks[name]

    def trained(self, name: str) -> Part[Benchmark]:
        """Return the benchmark as it is trained on; its test split stays whole, and shared with other runs."""
        if not self.drop_duplicates:
            return self.benchmark(name)
        if name not in self.deduplicated:
            made = without_duplicates(name, self.benchmark(name).made)
            self.deduplicated[name] = self._part("benchmark", name, name, made)
        return self.deduplicated[name]

    def train(self, name: str, seed: int, selection: Selection) -> QuestionSet:
        """Return the training questions taken."""
        key = (name, "train", seed, selection)
        return self.sets.setdefault(key, QuestionSet(self.trained(name), "train", seed, selection))

    def test(self, name: str, seed: int, limit: int | None = None) -> QuestionSet:
        """Return the test questions: all of them, or the first ones."""
        selection = None if limit is None else Selection(limit, 1.0, 0)
        key = (name, "test", seed, selection)
        return self.sets.setdefault(key, QuestionSet(self.benchmark(name), "test", seed, selection))


def without_duplicates(name: str, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark without leaked training questions. Raises `RecipeError` if it does not offer that."""
    if not isinstance(benchmark, Deduplicating):
        raise RecipeError(f"{name} cannot drop duplicates: its plugin does not offer it")
    return benchmark.without_duplicates()
