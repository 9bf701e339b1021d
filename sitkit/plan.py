"""From a recipe to the graph of stages: what is shared is there once, and what needs the same weights is together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from sitkit.capabilities import DefaultTeacher, PaidEndpoint, ScoredTogether
from sitkit.components import Component, Components, QuestionSet, Selection, objective, recommended
from sitkit.errors import PluginError, RecipeError
from sitkit.plugin_support import NOTICES
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.settings import Settings, resolve
from sitkit.stages import Annotate, Evaluate, Instruct, Node, Pair, Refine, Sample, Stage
from sitkit.stages.training import resolve_objective
from sitkit.types import PHASES, PROMPTINGS, Benchmark, Method, Phase, Strategy, Student, Teacher

Tasks = tuple[str, ...]


@dataclass(frozen=True)
class ArmPlan:
    """One way of teaching one student: by whom, on what, with which seed; and the stages it consists of.

    ``train_on`` is empty where the student is refined untaught; where it is not refined, ``refine_on`` is empty, and
    ``paired`` and ``refined`` are None.
    """

    student: Component[Student]
    teacher: Component[Teacher]
    train_on: Tasks
    refine_on: Tasks
    fraction: float
    seed: int
    method: Method
    annotated: tuple[Node, ...]
    instructed: Node
    sampled: tuple[Node, ...] = ()
    paired: Node | None = None
    refined: Node | None = None


@dataclass(frozen=True)
class CellPlan:
    """One phase scored on one benchmark: which stage holds the score, and what was done to the student before.

    What the arms that share the score do not agree on is left blank: the teacher of a baseline, say.
    """

    phase: Phase
    benchmark: str
    seed: int
    node: Node
    student: str
    teacher: str
    train_on: Tasks
    refine_on: Tasks
    fraction: float
    method: Method


@dataclass(frozen=True)
class Plan:
    """Every stage of a recipe in an order in which each comes after its inputs, and which cells read which stage.

    ``settings`` are resolved for each student; ``annotated`` are all stages in which a teacher answers.
    """

    recipe: Recipe
    settings: Mapping[str, Settings]
    nodes: tuple[Node, ...]
    arms: tuple[ArmPlan, ...]
    cells: tuple[CellPlan, ...]
    annotated: tuple[Node, ...]
    scored: Tasks
    students: tuple[Component[Student], ...]
    teachers: tuple[Component[Teacher], ...]
    strategy: Component[Strategy]
    question_sets: tuple[QuestionSet, ...]

    @cached_property
    def by_key(self) -> Mapping[str, Node]:
        """The stages by key."""
        return {one.key: one for one in self.nodes}

    def full_recipe(self) -> Recipe:
        """Return the recipe with everything that a default or a student decided written out, where it is one thing."""
        settings, (first, *others) = self.recipe.settings, self.settings.values()
        if all(other == first for other in others):
            settings = asdict(first)
        return replace(self.recipe, refine_on=self.recipe.refined_on, settings=settings)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """Every plugged-in part of the plan."""
        benchmarks = {questions.benchmark.spec: questions.benchmark for questions in self.question_sets}
        return (*self.teachers, *self.students, self.strategy, *benchmarks.values())

    def close(self) -> None:
        """Free what teachers and students hold; one that cannot be freed is logged, and hides no other error."""
        parts: tuple[Component[Any], ...] = (*self.teachers, *self.students)
        for part in parts:
            try:
                part.close()
            except PluginError as error:
                logging.getLogger(NOTICES).warning("%s", error)


def build_plan(recipe: Recipe, registry: Registry) -> Plan:
    """Plan a recipe. Nothing heavy is loaded. Raises what an unknown name, a wrong setting or missing data raises."""
    components = Components(
        registry, None if recipe.data_dir is None else Path(recipe.data_dir), recipe.drop_duplicates
    )
    recipe = _written_out(recipe, registry, components)
    students = tuple(components.student(spec) for spec in recipe.student or ())
    teachers = tuple(components.teacher(spec) for spec in recipe.teacher or ())
    strategy = components.strategy(recipe.strategy or "")
    settings = {student.spec: resolve(recommended(student), recipe.settings) for student in students}
    for student in students:
        with student.calling("check"):
            chosen = settings[student.spec]
            student.made.check(chosen, resolve_objective(objective(strategy), chosen.refine))
    scored = recipe.eval_on or ()
    for name in scored:
        components.benchmark(name)
    builder = _Builder(recipe, components, settings, students, teachers, strategy, scored)
    builder.build()
    return Plan(
        recipe=recipe,
        settings=settings,
        nodes=tuple(builder.by_key.values()),
        arms=tuple(builder.arms),
        cells=tuple(builder.cells),
        annotated=tuple(one for one in builder.by_key.values() if isinstance(one.stage, Annotate)),
        scored=scored,
        students=students,
        teachers=teachers,
        strategy=strategy,
        question_sets=tuple(components.sets.values()),
    )


def default_tasks(registry: Registry) -> Tasks:
    """Return every benchmark that is scored together with one that a run trains on by default."""
    components = Components(registry, None, drop_duplicates=False)
    return tuple(
        dict.fromkeys(
            name for task in _default(registry, "train_on") for name in _scored_with(components.benchmark(task))
        )
    )


def _written_out(recipe: Recipe, registry: Registry, components: Components) -> Recipe:
    """Return the recipe with what plugins say by default where it says nothing, benchmarks by their first names."""

    # Questions, keys and scores know a benchmark by one name, whichever the user likes.
    def known(names: Iterable[str]) -> Tasks:
        return tuple(registry.first_name("benchmark", name) for name in names)

    train_on = known(recipe.train_on or _default(registry, "train_on"))
    refine_on = None if recipe.refine_on is None else known(recipe.refine_on)
    trained = tuple(dict.fromkeys((*train_on, *(refine_on or ()))))
    benchmarks = [components.benchmark(name) for name in trained]
    if recipe.eval_on == ("all",):
        scored = tuple(registry.first_names("benchmark"))
    elif recipe.eval_on is not None:
        scored = known(recipe.eval_on)
    else:
        together = {_scored_with(benchmark) for benchmark in benchmarks}
        scored = known(*together) if len(together) == 1 and not recipe.cross else trained
    return replace(
        recipe,
        student=recipe.student or _default(registry, "student"),
        strategy=recipe.strategy or _default(registry, "strategy")[0],
        teacher=recipe.teacher or (_default_teacher(benchmarks),),
        train_on=train_on,
        refine_on=refine_on,
        eval_on=scored,
    )


def _default(registry: Registry, key: str) -> Tasks:
    found = registry.defaults.get(key)
    if found is None:
        raise RecipeError(f"no plugin names a default: give --{key.replace('_', '-')}")
    return found


def _default_teacher(benchmarks: Sequence[Component[Benchmark]]) -> str:
    found: dict[str, str] = {}
    for benchmark in benchmarks:
        made = benchmark.made
        if isinstance(made, DefaultTeacher):
            with benchmark.calling("default_teacher"):
                spec = made.default_teacher()
            if not isinstance(spec, str) or not spec:
                raise PluginError(f"{benchmark}: default_teacher gave {spec!r} in place of a SPEC")
            found.setdefault(spec, benchmark.spec)
    if len(found) == 1:
        return next(iter(found))
    names = ", ".join(benchmark.spec for benchmark in benchmarks)
    if not found:
        raise RecipeError(f"{names}: no default teacher: give --teacher")
    differ = ", ".join(f"{spec} for {name}" for spec, name in found.items())
    raise RecipeError(f"the default teachers differ ({differ}): give --teacher")


def _scored_with(benchmark: Component[Benchmark]) -> Tasks:
    made = benchmark.made
    if not isinstance(made, ScoredTogether):
        return (benchmark.spec,)
    with benchmark.calling("scored_with"):
        names = made.scored_with()
    if isinstance(names, str) or not all(isinstance(name, str) for name in names) or benchmark.spec not in names:
        raise PluginError(f"{benchmark}: scored_with gave {names!r}: expected names of benchmarks, its own included")
    return tuple(names)


@dataclass
class _Builder:
    """Nodes by key, in order: asking for a stage that is there already gives the one that is there."""

    recipe: Recipe
    components: Components
    settings: Mapping[str, Settings]
    students: tuple[Component[Student], ...]
    teachers: tuple[Component[Teacher], ...]
    strategy: Component[Strategy]
    scored: Tasks
    by_key: dict[str, Node] = field(default_factory=dict)
    arms: list[ArmPlan] = field(default_factory=list)
    cells: list[CellPlan] = field(default_factory=list)

    def build(self) -> None:
        """Teachers first, so that each is loaded once and gone before students need the memory; then each student."""
        recipe = self.recipe
        for teacher, student, seed, fraction in product(self.teachers, self.students, recipe.seeds, recipe.fraction):
            self._annotate(teacher, student, self._taught_from(), seed, fraction)
        for teacher, student, seed in product(self.teachers, self.students, recipe.seeds):
            self._score_teacher(teacher, student, seed)
        for student, seed in product(self.students, recipe.seeds):
            self._baseline(student, seed)
            for teacher, fraction in product(self.teachers, recipe.fraction):
                self._teach(_Lesson(student, teacher, seed, fraction, self._where(student, teacher, fraction)))

    def add(self, stage: Stage) -> Node:
        made = Node(stage)
        return self.by_key.setdefault(made.key, made)

    def _where(self, student: Component[Student], teacher: Component[Teacher], fraction: float) -> str:
        recipe = self.recipe
        words = (
            (student.spec, len(self.students) > 1),
            (f"by {teacher.spec}", len(self.teachers) > 1),
            (f"{fraction:g}", len(recipe.fraction) > 1),
        )
        return " ".join(word for word, varies in words if varies)

    def _selection(self, seed: int, fraction: float) -> Selection:
        if fraction == 1 or self._of_demonstrations:
            return Selection(self.recipe.limit, 1.0, 0)
        return Selection(self.recipe.limit, fraction, seed)

    @property
    def _of_demonstrations(self) -> bool:
        return self.recipe.fraction_of == "demonstrations"

    def _annotate(
        self, teacher: Component[Teacher], student: Component[Student], names: Iterable[str], seed: int, fraction: float
    ) -> tuple[Node, ...]:
        settings, selection = self.settings[student.spec].annotate, self._selection(seed, fraction)
        return tuple(
            self.add(Annotate(teacher, self.components.train(name, seed, selection), settings)) for name in names
        )

    def _taught_from(self) -> Tasks:
        """The tasks whose demonstrations some method needs: a call for any other would be paid for nothing."""
        methods, recipe = set(self.recipe.methods), self.recipe
        instructed = recipe.taught_on if methods - {"refine"} else ()
        return tuple(dict.fromkeys((*instructed, *(recipe.refined_on if methods - {"instruct"} else ()))))

    def _score_teacher(self, teacher: Component[Teacher], student: Component[Student], seed: int) -> None:
        """The teacher's own accuracy (Table 5): with the trigger on train it is there already, the rest is asked."""
        wanted = self.recipe.eval_teacher
        if wanted is False or (wanted is None and isinstance(teacher.made, PaidEndpoint)):
            return
        settings, selection = self.settings[student.spec].annotate, self._selection(seed, max(self.recipe.fraction))
        trained = self._taught_from()
        for name in trained:
            self.add(Annotate(teacher, self.components.train(name, seed, selection), settings, "direct"))
        if not wanted:
            return
        for name, prompting in product(trained, PROMPTINGS):
            questions = self.components.test(name, seed, self.recipe.test_limit)
            self.add(Annotate(teacher, questions, settings, prompting))

    def _baseline(self, student: Component[Student], seed: int) -> None:
        recipe, arms = self.recipe, self.recipe.tasks
        where = student.spec if len(self.students) > 1 else ""
        shared = _Shared(
            student=student.spec,
            teacher=self.teachers[0].spec if len(self.teachers) == 1 else "",
            train_on=arms[0][0] if len(arms) == 1 else (),
            refine_on=arms[0][1] if len(arms) == 1 else (),
            fraction=recipe.fraction[0] if len(recipe.fraction) == 1 else 1.0,
            method=recipe.methods[0],
        )
        self._evaluate(PHASES[0], student, None, seed, where, shared)

    def _teach(self, lesson: _Lesson) -> None:
        for method in self.recipe.methods:
            if method == "refine":
                self._taught(lesson, method, (), tuple(dict.fromkeys(refined for _, refined in self.recipe.tasks)))
                continue
            for train_on in dict.fromkeys(taught for taught, _ in self.recipe.tasks):
                refined = ((),) if method == "instruct" else self._refined_after(train_on)
                self._taught(lesson, method, train_on, refined)

    def _refined_after(self, train_on: Tasks) -> tuple[Tasks, ...]:
        return tuple(refined for taught, refined in self.recipe.tasks if taught == train_on)

    def _taught(self, lesson: _Lesson, method: Method, train_on: Tasks, refine_ons: Sequence[Tasks]) -> None:
        student, seed = lesson.student, lesson.seed
        settings = self.settings[student.spec]
        where = lesson.on(self._named(train_on) if train_on else "untaught")
        taught = self._annotate(lesson.teacher, student, train_on, seed, lesson.fraction)
        share = self._share(lesson) if taught else None
        instructed = self.add(Instruct(student, taught, settings.annotate.keep, settings.instruct, seed, where, share))
        shared = _Shared(
            student=student.spec,
            teacher=lesson.teacher.spec,
            train_on=train_on,
            refine_on=(),
            fraction=lesson.fraction,
            method=method,
        )
        sampled = {}
        if method != "instruct":
            for name in dict.fromkeys(name for names in refine_ons for name in names):
                sampled[name] = self.add(
                    Sample(student, instructed, self._source(lesson, name), settings.sample, seed, where)
                )
        # An arm of both phases has the scores of the instructed student already.
        if train_on and not (method == "instruct" and "both" in self.recipe.methods):
            self._evaluate(PHASES[1], student, instructed, seed, where, shared)
        for refine_on in refine_ons:
            arm = ArmPlan(
                student, lesson.teacher, train_on, refine_on, lesson.fraction, seed, method, taught, instructed
            )  # fmt: skip
            if method != "instruct":
                arm = self._refined(lesson, arm, tuple(sampled[name] for name in refine_on), shared)
            self.arms.append(arm)

    def _refined(self, lesson: _Lesson, arm: ArmPlan, sampled: tuple[Node, ...], shared: _Shared) -> ArmPlan:
        student, seed, refine_on = lesson.student, lesson.seed, arm.refine_on
        settings = self.settings[student.spec]
        crossed = f" then {self._named(refine_on)}" if self.recipe.cross else ""
        where = lesson.on((self._named(arm.train_on) if arm.train_on else "untaught") + crossed)
        sources = tuple(self._source(lesson, name) for name in refine_on)
        demonstrations = self._annotate(lesson.teacher, student, refine_on, seed, lesson.fraction)
        keep = settings.annotate.keep
        pairing, share = settings.pair, self._share(lesson)
        if self._of_demonstrations:
            # A share of the demonstrations, the whole included, is the set that pairs are made over.
            pairing = replace(pairing, without_demonstration="leave_out")
        paired = self.add(Pair(self.strategy, sampled, sources, demonstrations, keep, pairing, seed, where, share))
        refined = self.add(Refine(student, self.strategy, arm.instructed, paired, settings.refine, seed, where))
        self._evaluate(PHASES[2], student, refined, seed, where, replace(shared, refine_on=refine_on))
        annotated = tuple(dict.fromkeys((*arm.annotated, *demonstrations)))
        return replace(arm, annotated=annotated, sampled=sampled, paired=paired, refined=refined)

    def _share(self, lesson: _Lesson) -> Selection | None:
        drawn = self._of_demonstrations and lesson.fraction < 1
        return Selection(None, lesson.fraction, lesson.seed) if drawn else None

    def _source(self, lesson: _Lesson, name: str) -> QuestionSet:
        return self.components.train(name, lesson.seed, self._selection(lesson.seed, lesson.fraction))

    def _named(self, tasks: Tasks) -> str:
        return "+".join(tasks) if self.recipe.cross else ""

    def _evaluate(
        self, phase: Phase, student: Component[Student], learnt: Node | None, seed: int, where: str, shared: _Shared
    ) -> None:
        settings, limit = self.settings[student.spec].evaluate, self.recipe.test_limit
        for name in self.scored:
            stage = Evaluate(student, phase, learnt, self.components.test(name, seed), limit, settings, seed, where)
            self.cells.append(
                CellPlan(
                    phase=phase,
                    benchmark=name,
                    seed=seed,
                    node=self.add(stage),
                    student=shared.student,
                    teacher=shared.teacher,
                    train_on=shared.train_on,
                    refine_on=shared.refine_on,
                    fraction=shared.fraction,
                    method=shared.method,
                )
            )


@dataclass(frozen=True)
class _Lesson:
    student: Component[Student]
    teacher: Component[Teacher]
    seed: int
    fraction: float
    where: str

    def on(self, tasks: str) -> str:
        return " ".join(word for word in (self.where, tasks) if word)


@dataclass(frozen=True)
class _Shared:
    student: str
    teacher: str
    train_on: Tasks
    refine_on: Tasks
    fraction: float
    method: Method


def count_stages(plan: Plan) -> dict[str, int]:
    """Return how many stages of each name a plan has."""
    return dict(Counter(one.stage.name for one in plan.nodes))


def one_by_one(plan: Plan) -> Iterator[Node]:
    """Yield the stages a script would run that makes every score by itself, from the teacher's answers on."""
    closures: dict[str, tuple[Node, ...]] = {}
    for one in plan.nodes:
        below = {below.key: below for made in one.stage.inputs for below in closures[made.key]}
        closures[one.key] = (*below.values(), one)
    for cell in plan.cells:
        yield from closures[cell.node.key]
