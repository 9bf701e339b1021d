"""From a recipe to the graph of stages: what is shared is there once, and what needs the same weights is together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sitkit.errors import RecipeError
from sitkit.objective import resolve_objective
from sitkit.parts import Part, PartT, QuestionSet, objective, recommended
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.select import Selection
from sitkit.settings import Settings, resolve
from sitkit.spec import parse_spec
from sitkit.stages import Annotate, Evaluate, Instruct, Node, Pair, Refine, Sample, Stage, node
from sitkit.types import PHASES, Benchmark, Deduplicating, Phase, Strategy, Student, Teacher


@dataclass(frozen=True)
class Cell:
    """One phase of one seed, scored on one benchmark: which stage holds the score."""

    phase: Phase
    benchmark: str
    seed: int
    node: Node


@dataclass(frozen=True)
class Plan:
    """Every stage of a recipe in an order in which each comes after its inputs, and which cells read which stage.

    ``pairs``, ``instructed`` and ``refined`` hold one stage a seed, in the order of the recipe's seeds.
    """

    recipe: Recipe
    settings: Settings
    nodes: tuple[Node, ...]
    cells: tuple[Cell, ...]
    pairs: tuple[Node, ...]
    instructed: tuple[Node, ...]
    refined: tuple[Node, ...]
    annotated: tuple[Node, ...]
    scored: tuple[str, ...]
    student: Part[Student]
    teacher: Part[Teacher]
    strategy: Part[Strategy]
    question_sets: tuple[QuestionSet, ...]

    def close(self) -> None:
        """Free what teacher and student hold."""
        self.teacher.made.close()
        self.student.made.close()


@dataclass
class _Parts:
    registry: Registry
    data_dir: Path | None
    drop_duplicates: bool
    benchmarks: dict[str, Part[Benchmark]] = field(default_factory=dict)
    deduplicated: dict[str, Part[Benchmark]] = field(default_factory=dict)
    sets: dict[tuple[object, ...], QuestionSet] = field(default_factory=dict)

    def part(self, kind: str, name: str, spec: str, made: PartT) -> Part[PartT]:
        provider = self.registry.part(kind, name).provider
        return Part(kind, spec, made, {"distribution": provider.distribution, "version": provider.version})

    def teacher(self, spec: str) -> Part[Teacher]:
        parsed = parse_spec(spec)
        return self.part("teacher", parsed.name, spec, self.registry.teacher(parsed, self.data_dir))

    def student(self, spec: str) -> Part[Student]:
        parsed = parse_spec(spec)
        return self.part("student", parsed.name, spec, self.registry.student(parsed, self.data_dir))

    def strategy(self, spec: str) -> Part[Strategy]:
        parsed = parse_spec(spec)
        return self.part("strategy", parsed.name, spec, self.registry.strategy(parsed, self.data_dir))

    def benchmark(self, name: str) -> Part[Benchmark]:
        if name not in self.benchmarks:
            made = self.registry.benchmark(name, self.data_dir)
            self.benchmarks[name] = self.part("benchmark", name, name, made)
        return self.benchmarks[name]

    def trained(self, name: str) -> Part[Benchmark]:
        """The benchmark as it is trained on; its test split stays whole, and shared with other runs."""
        if not self.drop_duplicates:
            return self.benchmark(name)
        if name not in self.deduplicated:
            made = without_duplicates(name, self.benchmark(name).made)
            self.deduplicated[name] = self.part("benchmark", name, name, made)
        return self.deduplicated[name]

    def train(self, name: str, seed: int, selection: Selection) -> QuestionSet:
        key = (name, "train", seed, selection)
        return self.sets.setdefault(key, QuestionSet(self.trained(name), "train", seed, selection))

    def test(self, name: str, seed: int) -> QuestionSet:
        return self.sets.setdefault((name, "test", seed), QuestionSet(self.benchmark(name), "test", seed))


class _Nodes:
    """Nodes by key: asking for a stage that is there already gives the one that is there."""

    def __init__(self) -> None:
        self.by_key: dict[str, Node] = {}

    def add(self, stage: Stage) -> Node:
        made = node(stage)
        return self.by_key.setdefault(made.key, made)


def build_plan(recipe: Recipe, registry: Registry) -> Plan:
    """Plan a recipe. Nothing heavy is loaded. Raises what an unknown name, a wrong setting or missing data raises."""
    recipe = _written_out(recipe, registry)
    parts = _Parts(registry, None if recipe.data_dir is None else Path(recipe.data_dir), recipe.drop_duplicates)
    student, teacher = parts.student(recipe.student), parts.teacher(recipe.taught_by)
    strategy = parts.strategy(recipe.strategy)
    settings = resolve(recommended(student), recipe.settings)
    with student.calling("check"):
        student.made.check(settings, resolve_objective(objective(strategy), settings.refine))
    scored = recipe.scored_on(tuple(registry.first_names("benchmark")))
    for name in (*recipe.train_on, *recipe.refined_on, *scored):
        parts.benchmark(name)
    nodes = _Nodes()
    seeds = [
        _plan_seed(seed, recipe, settings, parts, nodes, (teacher, student, strategy), scored) for seed in recipe.seeds
    ]
    return Plan(
        recipe=recipe,
        settings=settings,
        nodes=tuple(nodes.by_key.values()),
        cells=tuple(cell for one in seeds for cell in one.cells),
        pairs=tuple(one.paired for one in seeds),
        instructed=tuple(one.instructed for one in seeds),
        refined=tuple(one.refined for one in seeds),
        annotated=tuple(dict.fromkeys(stage for one in seeds for stage in one.annotated)),
        scored=scored,
        student=student,
        teacher=teacher,
        strategy=strategy,
        question_sets=tuple(parts.sets.values()),
    )


def _written_out(recipe: Recipe, registry: Registry) -> Recipe:
    # Questions, keys and scores know a benchmark by one name, whichever the user likes.
    def known(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is None or names == ("all",):
            return names
        return tuple(registry.first_name("benchmark", name) for name in names)

    return replace(
        recipe,
        teacher=recipe.taught_by,
        train_on=known(recipe.train_on) or (),
        refine_on=known(recipe.refine_on),
        eval_on=known(recipe.eval_on),
    )


def without_duplicates(name: str, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark without leaked training questions. Raises `RecipeError` if it does not offer that."""
    if not isinstance(benchmark, Deduplicating):
        raise RecipeError(f"{name} cannot drop duplicates: its plugin does not offer it")
    return benchmark.without_duplicates()


@dataclass(frozen=True)
class _Seed:
    cells: tuple[Cell, ...]
    annotated: tuple[Node, ...]
    instructed: Node
    paired: Node
    refined: Node


def _plan_seed(
    seed: int,
    recipe: Recipe,
    settings: Settings,
    parts: _Parts,
    nodes: _Nodes,
    made: tuple[Part[Teacher], Part[Student], Part[Strategy]],
    scored: Sequence[str],
) -> _Seed:
    teacher, student, strategy = made
    selection = Selection(recipe.limit, recipe.fraction, seed if recipe.fraction < 1 else 0)
    keep = settings.annotate.keep

    def annotate(names: Iterable[str]) -> tuple[Node, ...]:
        return tuple(
            nodes.add(Annotate(teacher, parts.train(name, seed, selection), settings.annotate)) for name in names
        )

    def evaluate(phase: Phase, learnt: Node | None) -> Iterator[Cell]:
        for name in scored:
            stage = Evaluate(student, phase, learnt, parts.test(name, seed), recipe.test_limit, settings.evaluate, seed)
            yield Cell(phase, name, seed, nodes.add(stage))

    taught, refined_on = annotate(recipe.train_on), annotate(recipe.refined_on)
    cells = list(evaluate(PHASES[0], None))
    instructed = nodes.add(Instruct(student, taught, keep, settings.instruct, seed))
    sources = tuple(parts.train(name, seed, selection) for name in recipe.refined_on)
    sampled = tuple(nodes.add(Sample(student, instructed, source, settings.sample, seed)) for source in sources)
    cells += evaluate(PHASES[1], instructed)
    paired = nodes.add(Pair(strategy, sampled, sources, refined_on, keep, settings.pair, seed))
    refined = nodes.add(Refine(student, strategy, instructed, paired, settings.refine, seed))
    cells += evaluate(PHASES[2], refined)
    return _Seed(tuple(cells), tuple(dict.fromkeys((*taught, *refined_on))), instructed, paired, refined)


def count_stages(plan: Plan) -> dict[str, int]:
    """Return how many stages of each name a plan has."""
    return dict(Counter(one.stage.name for one in plan.nodes))
