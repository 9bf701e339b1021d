"""From a recipe to the graph of stages: what is shared is there once, and what needs the same weights is together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from sitkit.capabilities import DefaultTeacher, PaidEndpoint, ScoredTogether
from sitkit.components import Component, Components, QuestionSet, Selection, objective, recommended
from sitkit.errors import PluginError, RecipeError
from sitkit.harness.any_task import AnyTask, parse_task
from sitkit.own_questions import named
from sitkit.plugin_support import NOTICES
from sitkit.recipe import Recipe
from sitkit.registry import Registry
from sitkit.settings import Settings, resolve
from sitkit.spec import LM_EVAL
from sitkit.stages import Annotate, Evaluate, EvaluateTask, Explore, Instruct, Node, Pair, Refine, Sample, Stage
from sitkit.stages.annotate import Taken
from sitkit.stages.explore import check_online, is_distilled, is_online
from sitkit.stages.sample import check_samples
from sitkit.stages.training import resolve_objective, with_objective
from sitkit.types import PHASES, PROMPTINGS, Benchmark, Method, Objective, Phase, Strategy, Student, Teacher

Tasks = tuple[str, ...]


@dataclass(frozen=True)
class ArmPlan:
    """One way of teaching one student: by whom, on what, with which seed; and the stages it consists of.

    ``train_on`` is empty where the student is refined untaught; where it is not refined, ``refine_on`` is empty, and
    ``paired`` and ``refined`` are None. A strategy that learns online has no ``sampled`` and ``paired`` either.
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
    strategy: Component[Strategy]
    sampled: tuple[Node, ...] = ()
    paired: Node | None = None
    refined: Node | None = None
    earlier: tuple[RoundPlan, ...] = ()


@dataclass(frozen=True)
class RoundPlan:
    """The stages of one round of refining."""

    sampled: tuple[Node, ...]
    paired: Node
    refined: Node


@dataclass(frozen=True)
class CellPlan:
    """One phase scored on one benchmark or lm-eval task: which stage holds the score, and what was done to the student.

    What the arms that share the score do not agree on is left blank: the teacher of a baseline, say. ``round`` counts
    the rounds of refining that were gone through, where there are several and this is not the last of them.
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
    strategy: str = ""
    round: int = 0

    def learner(self) -> dict[str, Any]:
        """Return which student was scored, by the fields of a `Cell`; what the phase does not depend on is blank."""
        taught, refined = self.phase != "baseline", self.phase == "refine"
        return {
            "student": self.student,
            "teacher": self.teacher if taught else "",
            "strategy": self.strategy if refined else "",
            "method": self.method if refined else "",
            "fraction": self.fraction if taught else 1.0,
            "phase": self.phase,
            "train_on": self.train_on if taught else (),
            "refine_on": self.refine_on if refined else (),
        }


@dataclass(frozen=True)
class Plan:
    """Every stage of a recipe in an order in which each comes after its inputs, and which cells read which stage.

    ``task_cells`` are those of the lm-eval tasks scored beside the benchmarks. ``settings`` are resolved for each
    student and strategy, by their SPECs; ``annotated`` are all stages in which a teacher answers; ``rounds`` are the
    cells of rounds of refining before the last.
    """

    recipe: Recipe
    settings: Mapping[tuple[str, str], Settings]
    nodes: tuple[Node, ...]
    arms: tuple[ArmPlan, ...]
    cells: tuple[CellPlan, ...]
    task_cells: tuple[CellPlan, ...]
    annotated: tuple[Node, ...]
    scored: Tasks
    students: tuple[Component[Student], ...]
    teachers: tuple[Component[Teacher], ...]
    strategies: tuple[Component[Strategy], ...]
    question_sets: tuple[QuestionSet, ...]
    rounds: tuple[CellPlan, ...] = ()

    @cached_property
    def control(self) -> Component[Strategy] | None:
        """The strategy that the others are held against: the one asked for, else the first that is plain fine-tuning,
        else the first; None where there is one alone.
        """
        if len(self.strategies) == 1:
            return None
        asked = [one for one in self.strategies if one.spec == self.recipe.control]
        plain = [one for one in self.strategies if not is_online(one) and objective(one).loss == ("sft",)]
        return (*asked, *plain, *self.strategies)[0]

    @cached_property
    def by_key(self) -> Mapping[str, Node]:
        """The stages by key."""
        return {one.key: one for one in self.nodes}

    def full_recipe(self) -> Recipe:
        """Return the recipe with everything written out that a default, a student or a strategy decided.

        What these decide differently is left out; `differing_settings` has it.
        """
        first = asdict(next(iter(self.settings.values())))
        settings = {
            stage: {key: value for key, value in keys.items() if (stage, key) not in self._differing}
            for stage, keys in first.items()
        }
        return replace(self.recipe, refine_on=self.recipe.refined_on, settings=settings)

    def differing_settings(self, student: str, strategy: str) -> dict[str, dict[str, Any]]:
        """Return what a student and a strategy (SPECs) use of the settings that are not the same for all of them."""
        used = self.settings[student, strategy]
        found: dict[str, dict[str, Any]] = {}
        for stage, key in self._differing:
            found.setdefault(stage, {})[key] = getattr(getattr(used, stage), key)
        return found

    @cached_property
    def _differing(self) -> tuple[tuple[str, str], ...]:
        first, *others = (asdict(settings) for settings in self.settings.values())
        return tuple(
            (stage, key)
            for stage, keys in first.items()
            for key, value in keys.items()
            if any(other[stage][key] != value for other in others)
        )

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """Every plugged-in part of the plan."""
        benchmarks = {questions.benchmark.spec: questions.benchmark for questions in self.question_sets}
        return (*self.teachers, *self.students, *self.strategies, *benchmarks.values())

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
    data_dir = None if recipe.data_dir is None else Path(recipe.data_dir)
    for name in (*(recipe.train_on or ()), *(recipe.refine_on or ())):
        if name.startswith(LM_EVAL):
            raise RecipeError(f"{name} can be scored (--eval-on), not trained or refined on")
    recipe, tasks = _apart(recipe, registry)
    recipe = named(recipe, registry, data_dir, recipe.train_on or _default(registry, "train_on"))
    components = Components(registry, data_dir, recipe.drop_duplicates, recipe.questions or {})
    recipe = _written_out(recipe, registry, components)
    students = tuple(components.student(spec) for spec in recipe.student or ())
    teachers = tuple(components.teacher(spec) for spec in recipe.teacher or ())
    strategies = tuple(components.strategy(spec) for spec in recipe.strategies or (recipe.strategy or "",))
    settings = {
        (student.spec, strategy.spec): resolve(recommended(student), recommended(strategy), recipe.settings)
        for student, strategy in product(students, strategies)
    }
    for student, strategy in product(students, strategies):
        chosen = settings[student.spec, strategy.spec]
        online = is_online(strategy)
        if not online:
            own = objective(strategy)
            chosen = replace(chosen, refine=with_objective(own, chosen.refine))
            if chosen.refine.loss != "+".join(own.loss):
                # The recipe of an earlier run names the loss of its strategy, and may be run with another one.
                logging.getLogger(NOTICES).warning(
                    "refine.loss=%s is set, and takes the place of what %s minimises: %s",
                    chosen.refine.loss,
                    strategy.spec,
                    "+".join(own.loss),
                )
            settings[student.spec, strategy.spec] = chosen
        check_samples(chosen.sample)
        with student.calling("check"):
            student.made.check(chosen, Objective() if online else resolve_objective(objective(strategy), chosen.refine))
        if online and recipe.refines:
            check_online(student, strategy, teachers, chosen)
            if chosen.refine.watch:
                logging.getLogger(NOTICES).warning(
                    "refine.watch=%d watches refining on pairs, and %s has none: it is not watched",
                    chosen.refine.watch,
                    strategy.spec,
                )
            if recipe.fraction_of == "demonstrations" and min(recipe.fraction) < 1:
                raise RecipeError(
                    f"fraction_of=demonstrations: {strategy.spec} learns on questions, not on demonstrations;"
                    " use fraction_of=questions"
                )
    scored = recipe.eval_on or ()
    asked = tuple(dict.fromkeys((*scored, *(name for task in tasks for name in task.benchmarks))))
    components.scored, components.drop_contaminated, components.ngram = asked, recipe.drop_contaminated, recipe.ngram
    for name in scored:
        components.benchmark(name)
    recipe = replace(recipe, eval_on=(*scored, *(task.spec for task in tasks)))
    builder = _Builder(recipe, components, settings, students, teachers, strategies, scored, tasks)
    builder.build()
    return Plan(
        recipe=recipe,
        settings=settings,
        nodes=tuple(builder.by_key.values()),
        arms=tuple(builder.arms),
        cells=tuple(builder.cells),
        task_cells=tuple(builder.task_cells),
        annotated=tuple(one for one in builder.by_key.values() if isinstance(one.stage, Annotate)),
        scored=scored,
        students=students,
        teachers=teachers,
        strategies=strategies,
        question_sets=tuple(components.sets.values()),
        rounds=tuple(builder.rounds),
    )


def _apart(recipe: Recipe, registry: Registry) -> tuple[Recipe, tuple[AnyTask, ...]]:
    """Return the recipe with benchmarks alone among what is scored, and the lm-eval tasks that stood there."""
    words = recipe.eval_on or ()
    folders = registry.folders_of_tasks().values()
    tasks = tuple(parse_task(word, folders) for word in words if word.startswith(LM_EVAL))
    titles = [task.title for task in tasks]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise RecipeError(f"two of the lm-eval tasks in eval_on are called {twice[0]}")
    left = tuple(word for word in words if not word.startswith(LM_EVAL))
    return (replace(recipe, eval_on=left or None) if tasks else recipe), tasks


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
        own = recipe.questions or {}
        return tuple(name if name in own else registry.first_name("benchmark", name) for name in names)

    train_on = known(recipe.taught_on)
    refine_on = None if recipe.refine_on is None else known(recipe.refine_on)
    practice_on = None if recipe.practice_on is None else _practised(recipe.practice_on, known)
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
        strategy=(recipe.strategies or (recipe.strategy or _default(registry, "strategy")[0],))[0],
        teacher=recipe.teacher or (_default_teacher(benchmarks),),
        train_on=train_on,
        refine_on=refine_on,
        practice_on=practice_on,
        eval_on=scored,
    )


def _practised(given: Iterable[str], known: Callable[[Iterable[str]], Tasks]) -> Tasks:
    """Return ``NAME`` and ``NAME:N`` with first names. Raises `RecipeError` for a number that is none."""
    found = []
    for text in given:
        name, colon, count = text.partition(":")
        # Nobody has more questions than ten digits count, and Python reads no number of thousands of digits.
        if colon and not (count.isdecimal() and len(count) <= 10 and int(count)):
            raise RecipeError(f"practice_on: {text}: expected a benchmark's name, or NAME:N with a number above 0")
        found.append(known([name])[0] + (f":{int(count)}" if colon else ""))
    names = [text.partition(":")[0] for text in found]
    if len(set(names)) < len(names):
        raise RecipeError(f"practice_on: {', '.join(found)}: give each benchmark once")
    return tuple(found)


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
    settings: Mapping[tuple[str, str], Settings]
    students: tuple[Component[Student], ...]
    teachers: tuple[Component[Teacher], ...]
    strategies: tuple[Component[Strategy], ...]
    scored: Tasks
    tasks: tuple[AnyTask, ...]
    by_key: dict[str, Node] = field(default_factory=dict)
    arms: list[ArmPlan] = field(default_factory=list)
    cells: list[CellPlan] = field(default_factory=list)
    task_cells: list[CellPlan] = field(default_factory=list)
    rounds: list[CellPlan] = field(default_factory=list)

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

    def _settings(self, student: Component[Student]) -> Settings:
        """The settings of the stages that no strategy recommends anything for."""
        return self.settings[student.spec, self.strategies[0].spec]

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
        settings, selection = self._settings(student).annotate, self._selection(seed, fraction)
        return tuple(
            self.add(Annotate(teacher, self.components.train(name, seed, selection), settings)) for name in names
        )

    def _taught_from(self) -> Tasks:
        """The tasks whose demonstrations some method needs: a call for any other would be paid for nothing."""
        recipe = self.recipe
        instructed = recipe.taught_on if recipe.methods != ("refine",) else ()
        # Who learns online needs questions alone.
        paired = recipe.refines and not all(map(is_online, self.strategies))
        return tuple(dict.fromkeys((*instructed, *(recipe.refined_on if paired else ()))))

    def _score_teacher(self, teacher: Component[Teacher], student: Component[Student], seed: int) -> None:
        """The teacher's own accuracy (Table 5): with the trigger on train it is there already, the rest is asked."""
        wanted = self.recipe.eval_teacher
        if wanted is False or (wanted is None and isinstance(teacher.made, PaidEndpoint)):
            return
        settings, selection = self._settings(student).annotate, self._selection(seed, max(self.recipe.fraction))
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
        settings = self._settings(student)
        where = lesson.on(self._named(train_on) if train_on else "untaught")
        taught = self._annotate(lesson.teacher, student, train_on, seed, lesson.fraction)
        share = self._share(lesson) if taught else None
        instructed = self.add(
            Instruct(student, taught, Taken.of(settings.annotate), settings.instruct, seed, where, share)
        )
        shared = _Shared(
            student=student.spec,
            teacher=lesson.teacher.spec,
            train_on=train_on,
            refine_on=(),
            fraction=lesson.fraction,
            method=method,
        )
        refining = () if method == "instruct" else self.strategies
        sampled: dict[tuple[str, str], Node] = {}
        practice = self._practice(seed) if refining else {}
        sources = {name: self._source(lesson, name) for names in refine_ons for name in names} | practice
        for strategy in (one for one in refining if not is_online(one)):
            drawn = self.settings[student.spec, strategy.spec].sample
            for name, source in sources.items():
                sampled[strategy.spec, name] = self.add(Sample(student, instructed, source, drawn, seed, where))
        # An arm of both phases has the scores of the instructed student already.
        if train_on and not (method == "instruct" and "both" in self.recipe.methods):
            self._evaluate(PHASES[1], student, instructed, seed, where, shared)
        for refine_on, strategy in product(refine_ons, refining or self.strategies[:1]):
            arm = ArmPlan(
                student, lesson.teacher, train_on, refine_on, lesson.fraction, seed, method, taught, instructed,
                strategy,
            )  # fmt: skip
            if refining and is_online(strategy):
                arm = self._explored(lesson, arm, shared)
            elif refining:
                first = tuple(sampled[strategy.spec, name] for name in (*refine_on, *practice))
                arm = self._refined(lesson, arm, first, shared)
            self.arms.append(arm)

    def _refined(self, lesson: _Lesson, arm: ArmPlan, sampled: tuple[Node, ...], shared: _Shared) -> ArmPlan:
        student, seed, refine_on = lesson.student, lesson.seed, arm.refine_on
        strategy = arm.strategy
        settings = self.settings[student.spec, strategy.spec]
        where = self._place(lesson, arm)
        practice = self._practice(seed).values()
        sources = (*(self._source(lesson, name) for name in refine_on), *practice)
        demonstrations = self._annotate(lesson.teacher, student, refine_on, seed, lesson.fraction)
        taken, rounds, start = Taken.of(settings.annotate), settings.refine.rounds, arm.instructed
        pairing, share = settings.pair, self._share(lesson)
        if self._of_demonstrations:
            # A share of the demonstrations, the whole included, is the set that pairs are made over.
            pairing = replace(pairing, without_demonstration="leave_out")
        shared = replace(shared, refine_on=refine_on, strategy=strategy.spec)
        made = list[RoundPlan]()
        for number in range(rounds):
            here = f"{where} round {number + 1}".strip() if rounds > 1 else where
            if number:
                sampled = tuple(
                    self.add(Sample(student, start, source, settings.sample, seed, here, number)) for source in sources
                )
            paired = self.add(
                Pair(
                    strategy,
                    sampled,
                    sources,
                    demonstrations,
                    taken,
                    pairing,
                    seed,
                    here,
                    share=share,
                    practised=len(practice),
                )
            )
            refined = self.add(
                Refine(student, strategy, start, paired, settings.refine, seed, here, number, settings.evaluate)
            )
            last = number == rounds - 1
            if last or settings.refine.score_rounds:
                there = shared if last else replace(shared, round=number + 1)
                self._evaluate(PHASES[2], student, refined, seed, self._told(strategy, here), there)
            made.append(RoundPlan(sampled, paired, refined))
            start = refined
        annotated = tuple(dict.fromkeys((*arm.annotated, *demonstrations)))
        return replace(
            arm,
            annotated=annotated,
            sampled=made[-1].sampled,
            paired=made[-1].paired,
            refined=made[-1].refined,
            earlier=tuple(made[:-1]),
        )

    def _explored(self, lesson: _Lesson, arm: ArmPlan, shared: _Shared) -> ArmPlan:
        student, seed, strategy = lesson.student, lesson.seed, arm.strategy
        where = self._place(lesson, arm)
        sources = (*(self._source(lesson, name) for name in arm.refine_on), *self._practice(seed).values())
        teacher = lesson.teacher if is_distilled(strategy) else None
        settings = self.settings[student.spec, strategy.spec].explore
        refined = self.add(Explore(student, strategy, arm.instructed, sources, settings, seed, where, teacher))
        shared = replace(shared, refine_on=arm.refine_on, strategy=strategy.spec)
        self._evaluate(PHASES[2], student, refined, seed, self._told(strategy, where), shared)
        return replace(arm, refined=refined)

    def _place(self, lesson: _Lesson, arm: ArmPlan) -> str:
        crossed = f" then {self._named(arm.refine_on)}" if self.recipe.cross else ""
        return lesson.on((self._named(arm.train_on) if arm.train_on else "untaught") + crossed)

    def _told(self, strategy: Component[Strategy], where: str) -> str:
        """Where a score stands; strategies score the same phase, so only their names tell these stages apart."""
        return " ".join(filter(None, (strategy.spec if len(self.strategies) > 1 else "", where)))

    def _share(self, lesson: _Lesson) -> Selection | None:
        drawn = self._of_demonstrations and lesson.fraction < 1
        return Selection(None, lesson.fraction, lesson.seed) if drawn else None

    def _practice(self, seed: int) -> dict[str, QuestionSet]:
        """The questions practised on, by the text that names them: none that a teacher is asked for."""
        recipe, found = self.recipe, dict[str, QuestionSet]()
        demonstrated = {*recipe.taught_on, *recipe.refined_on}
        for text in recipe.practice_on or ():
            name, _, count = text.partition(":")
            if name in demonstrated and recipe.limit is None:
                raise RecipeError(
                    f"practice_on: {name}: every one of its training questions is demonstrated already;"
                    " --limit N leaves those after the first N to practise on"
                )
            skip = recipe.limit or 0 if name in demonstrated else 0
            # Two dictionaries are joined by name, and a benchmark may be refined on and practised on.
            found[f"practice {text}"] = self.components.train(
                name, seed, Selection(int(count) if count else None, 1.0, 0, skip)
            )
        return found

    def _source(self, lesson: _Lesson, name: str) -> QuestionSet:
        return self.components.train(name, lesson.seed, self._selection(lesson.seed, lesson.fraction))

    def _named(self, tasks: Tasks) -> str:
        return "+".join(tasks) if self.recipe.cross else ""

    def _evaluate(
        self, phase: Phase, student: Component[Student], learnt: Node | None, seed: int, where: str, shared: _Shared
    ) -> None:
        settings, limit = self._settings(student).evaluate, self.recipe.test_limit
        cells = self.rounds if shared.round else self.cells
        crossed = phase == "refine" and shared.train_on and set(shared.train_on) != set(shared.refine_on)
        own = crossed and self.recipe.cross_eval == "refined_on"
        for name in [one for one in self.scored if one in shared.refine_on] if own else self.scored:
            stage = Evaluate(student, phase, learnt, self.components.test(name, seed), limit, settings, seed, where)
            cells.append(shared.cell(phase, name, seed, self.add(stage)))
        for task in () if shared.round else self.tasks:
            asked = tuple(self.components.test(name, seed) for name in task.benchmarks)
            other = EvaluateTask(student, phase, learnt, task, asked, limit, seed, where)
            self.task_cells.append(shared.cell(phase, task.title, seed, self.add(other)))


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
    strategy: str = ""
    round: int = 0

    def cell(self, phase: Phase, benchmark: str, seed: int, node: Node) -> CellPlan:
        return CellPlan(phase, benchmark, seed, node, **vars(self))


def one_by_one(plan: Plan) -> Iterator[Node]:
    """Yield the stages a script would run that makes every score by itself, from the teacher's answers on."""
    closures: dict[str, tuple[Node, ...]] = {}
    for one in plan.nodes:
        below = {below.key: below for made in one.stage.inputs for below in closures[made.key]}
        closures[one.key] = (*below.values(), one)
    for cell in (*plan.cells, *plan.task_cells):
        yield from closures[cell.node.key]
