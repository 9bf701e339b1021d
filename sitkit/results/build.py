"""Results from a plan and what a walk through it made: read from the store once, computed once."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sitkit.execution.executor import Outcome
from sitkit.overlap import Overlap, overlaps
from sitkit.plan import ArmPlan, CellPlan, Plan
from sitkit.results.accuracy import half_interval, standard_error, style_and_skill, summarised
from sitkit.results.contest import contest_of
from sitkit.results.forgetting import task_changes, task_scores
from sitkit.results.model import (
    NO_STRATEGY,
    SCHEMA,
    Arm,
    Cell,
    Change,
    CleanScore,
    Contamination,
    Demonstrations,
    Duplicates,
    Lesson,
    Pairs,
    Results,
    Round,
    RoundCell,
    Sampled,
    SeedScore,
    Stage,
    Tasks,
    TeacherScore,
    Training,
    Usage,
    sealed,
)
from sitkit.results.rows import StoredRows
from sitkit.results.significance import compare, detectable, holm, independent_discordance, needed
from sitkit.stages import Annotate, Evaluate, EvaluateTask, Explore, Instruct, Node, Pair, Refine, usage_of
from sitkit.stages.evaluate_task import DOCUMENTS
from sitkit.store import make_key
from sitkit.survey import duplicates
from sitkit.types import Json, Origin, Phase, Prompting, Question, Split

_PACKAGES = ("sitkit", "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "lm_eval", "math-verify")
_SMALLEST_CHANGE = 1e-9


def build_results(plan: Plan, outcome: Outcome, stored: StoredRows, before: Results | None = None) -> Results:
    """Return the results of a walk.

    ``before`` is what the same run found earlier, if anything: where nothing that determines the results has changed,
    it is taken over but for how the stages came about, so that no test is computed again.
    """
    recipe = plan.full_recipe().as_mapping()
    versions = package_versions(plan)
    stages = _stages(plan, outcome)
    built_from = source_digest(recipe, versions, stages)
    notices = tuple(dict.fromkeys([*outcome.notices, *_warnings(outcome)]))
    if before is not None and before.built_from == built_from:
        return sealed(replace(before, stages=stages, notices=notices))
    cells, arms = _cells(plan, outcome, plan.cells), _arms(plan)
    others = task_scores(plan, outcome)
    return sealed(
        Results(
            built_from=built_from,
            recipe=recipe,
            versions=versions,
            arms=arms,
            cells=cells,
            changes=changes_of(cells, stored),
            forgetting=others,
            forgetting_changes=task_changes(others, stored),
            pairs=_pairs(plan, outcome),
            training=_training(plan, outcome),
            demonstrations=_demonstrations(plan, outcome),
            teacher_scores=_teacher_scores(plan, outcome),
            usage=_usage(plan, outcome, stored),
            duplicates=tuple(Duplicates(**counts) for counts in duplicates(plan.question_sets)),
            contamination=_contamination(plan, cells, stored),
            tasks=_tasks(plan),
            notices=notices,
            stages=stages,
            rounds=_rounds(plan, outcome),
            contest=None
            if plan.control is None
            else contest_of(
                plan.control.spec,
                arms,
                cells,
                {key: artifact.info for key, artifact in outcome.artifacts.items()},
                {stage.key: stage.seconds for stage in stages},
                stored,
            ),
        )
    )


def source_digest(recipe: Json, versions: Mapping[str, str], stages: Sequence[Stage]) -> str:
    """Return the digest of what determines results: `Results.built_from`."""
    return make_key([SCHEMA, recipe, dict(versions), [[stage.key, stage.content] for stage in stages]])


def package_versions(plan: Plan) -> dict[str, str]:
    """Return the versions of Python, of the packages results depend on, and of the plugins taking part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    for component in plan.components:
        provider = component.provider
        source = f" (source {provider['source'][:12]})" if "source" in provider else ""
        found[provider["distribution"]] = provider["version"] + source
    return found


def _stages(plan: Plan, outcome: Outcome) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            stage=record.stage,
            label=record.label,
            key=record.key,
            content=outcome.artifacts[record.key].content,
            seconds=record.seconds,
            reused=record.reused,
        )
        for record in outcome.stages
    )


def _arms(plan: Plan) -> tuple[Arm, ...]:
    found: dict[tuple[object, ...], list[ArmPlan]] = {}
    for arm in plan.arms:
        place = (
            arm.student.spec, arm.teacher.spec, arm.train_on, arm.refine_on, arm.fraction, arm.method, arm.strategy.spec
        )  # fmt: skip
        found.setdefault(place, []).append(arm)
    return tuple(
        Arm(
            student=arms[0].student.spec,
            teacher=arms[0].teacher.spec,
            # Where another arm is refined, the strategy says which it stands beside.
            strategy=arms[0].strategy.spec if plan.recipe.refines else NO_STRATEGY,
            train_on=arms[0].train_on,
            refine_on=arms[0].refine_on,
            fraction=arms[0].fraction,
            method=arms[0].method,
            lessons=tuple(map(_lesson, arms)),
            settings=plan.differing_settings(arms[0].student.spec, arms[0].strategy.spec),
        )
        for arms in found.values()
    )


def _lesson(arm: ArmPlan) -> Lesson:
    return Lesson(
        seed=arm.seed,
        annotate=tuple(node.key for node in arm.annotated),
        instruct=arm.instructed.key if arm.train_on else None,
        sample=tuple(node.key for node in arm.sampled),
        pair=None if arm.paired is None else arm.paired.key,
        refine=None if arm.refined is None else arm.refined.key,
        earlier=tuple(
            Round(sample=tuple(node.key for node in one.sampled), pair=one.paired.key, refine=one.refined.key)
            for one in arm.earlier
        ),
    )


def _rounds(plan: Plan, outcome: Outcome) -> tuple[RoundCell, ...]:
    numbers = sorted({planned.round for planned in plan.rounds})
    return tuple(
        RoundCell(round=number, cell=cell)
        for number in numbers
        for cell in _cells(plan, outcome, [planned for planned in plan.rounds if planned.round == number])
    )


def _cells(plan: Plan, outcome: Outcome, planned_cells: Sequence[CellPlan]) -> tuple[Cell, ...]:
    domains = {part.benchmark.spec: part.benchmark.made.domain for part in plan.question_sets}
    found: dict[Cell, dict[int, SeedScore]] = {}
    for planned in planned_cells:
        info = outcome.artifacts[planned.node.key].info
        for prompting in dict.fromkeys(score["prompting"] for score in info["scores"]):
            cell = _blank(plan, planned, prompting, domains)
            # A cell that stands there twice counts once.
            found.setdefault(cell, {})[planned.seed] = seed_score(planned.seed, planned.node.key, prompting, info)
    return tuple(summarised(cell, list(seeds.values())) for cell, seeds in found.items())


def seed_score(seed: int, key: str, prompting: Prompting, info: Json) -> SeedScore:
    """Return what an evaluate stage's info tells of one prompting."""
    score = next(score for score in info["scores"] if score["prompting"] == prompting)
    worked = info["worked"][prompting]
    drawn = info.get("sampled", {}).get(prompting)
    sampled = None if drawn is None else Sampled(**{**drawn, "right": tuple(drawn["right"])})
    return SeedScore(
        seed=seed,
        key=key,
        n=score["n"],
        value=score["value"],
        stderr=score["stderr"],
        unread=score["extraction_failures"],
        worked=worked["worked"],
        worked_correct=worked["worked_correct"],
        characters=worked["characters"],
        sampled=sampled,
        **{name: score[name] for name in ("truncated", "finished_correct", "repeated", "repeated_answer")},
    )


def _blank(plan: Plan, planned: CellPlan, prompting: Any, domains: Mapping[str, str]) -> Cell:
    """What a score is of, without any number; what its phase does not depend on is blank."""
    practised = {text.partition(":")[0] for text in plan.recipe.practice_on or ()}
    every = {*plan.recipe.taught_on, *plan.recipe.refined_on}
    return Cell(
        **planned.learner(),
        benchmark=planned.benchmark,
        domain=domains[planned.benchmark],
        transfer=_transfer(planned.benchmark, ({*planned.train_on, *planned.refine_on} or every) | practised, domains),
        prompting=prompting,
        value=0.0,
        over_questions=0.0,
        over_seeds=None,
        deviation=None,
        n=0,
        unread=0.0,
        worked=0.0,
        worked_accuracy=None,
        other_accuracy=None,
        truncated=0.0,
        finished_accuracy=None,
        seeds=(),
    )


def _transfer(benchmark: str, trained: set[str], domains: Mapping[str, str]) -> str:
    if benchmark in trained:
        return "trained"
    return "in-domain" if domains[benchmark] in {domains[name] for name in trained} else "out-of-domain"


_Place = tuple[str, str, float, Phase, Tasks, str, str]


def changes_of(cells: Sequence[Cell], stored: StoredRows) -> tuple[Change, ...]:
    """Return the change of each taught student from the student it started from, where that was scored too."""
    earlier = {_place(cell): index for index, cell in enumerate(cells) if cell.phase != "refine"}
    found = []
    for index, cell in enumerate(cells):
        before = None if cell.phase == "baseline" else earlier.get(_place_before(cell))
        if before is not None:
            found.append(change_between(cells, before, index, stored))
    tested = [change for change in found if change.paired is not None]
    corrected = iter(holm([max(change.paired.p) for change in tested if change.paired is not None]))
    return tuple(replace(change, holm=None if change.paired is None else next(corrected)) for change in found)


def change_between(cells: Sequence[Cell], before: int, after: int, stored: StoredRows) -> Change:
    """Return the change from one cell to another, over the seeds they share."""
    earlier, later = cells[before], cells[after]
    by_seed = {score.seed: score for score in earlier.seeds}
    shared = [(by_seed[score.seed], score) for score in later.seeds if score.seed in by_seed]
    parts = [style_and_skill(*scores) for scores in shared]
    values = [style + skill for style, skill in parts]
    value = statistics.fmean(values) if values else later.value - earlier.value
    differing = independent_discordance(earlier.value, later.value)
    prompting = later.prompting
    paired = compare([(stored.correct(a.key, prompting), stored.correct(b.key, prompting)) for a, b in shared])
    return Change(
        before=before,
        after=after,
        value=value,
        interval=half_interval(values),
        style=statistics.fmean(style for style, _ in parts) if parts else 0.0,
        skill=statistics.fmean(skill for _, skill in parts) if parts else 0.0,
        paired=paired,
        detectable=detectable(later.n, differing),
        needed=needed(value, differing) if abs(value) > _SMALLEST_CHANGE else None,
    )


def _place(cell: Cell) -> _Place:
    return (cell.student, cell.teacher, cell.fraction, cell.phase, cell.train_on, cell.benchmark, cell.prompting)


def _place_before(cell: Cell) -> _Place:
    if cell.phase == "refine" and cell.method != "refine":
        return (
            cell.student, cell.teacher, cell.fraction, "instruct", cell.train_on, cell.benchmark, cell.prompting
        )  # fmt: skip
    return (cell.student, "", 1.0, "baseline", (), cell.benchmark, cell.prompting)


def _of_kind(plan: Plan, kind: type) -> Iterable[Node]:
    return (node for node in plan.nodes if isinstance(node.stage, kind))


def _pairs(plan: Plan, outcome: Outcome) -> tuple[Pairs, ...]:
    return tuple(
        pairs_told(node.key, node.stage.label(), outcome.artifacts[node.key].info) for node in _of_kind(plan, Pair)
    )


def pairs_told(key: str, label: str, info: Json) -> Pairs:
    """Return what a pair stage's info tells."""
    same = (
        "questions", "direct_correct", "cot_correct", "total", "chosen_characters", "rejected_characters",
        "rejected_correct", "rejected_truncated", "truncated", "fell_back", "without_demonstration",
        "left_out", "left_out_reasons",
    )  # fmt: skip
    origins: tuple[Origin, ...] = ("student", "teacher", "target")
    chosen_from = {origin: info[f"chosen_from_{origin}"] for origin in origins}
    return Pairs(key=key, label=label, chosen_from=chosen_from, **{name: info[name] for name in same})


def _training(plan: Plan, outcome: Outcome) -> tuple[Training, ...]:
    return tuple(
        training_told(node.stage.name, node.key, node.stage.label(), outcome.artifacts[node.key].info)
        for node in plan.nodes
        if isinstance(node.stage, Instruct | Refine | Explore)
    )


def training_told(stage: str, key: str, label: str, info: Json) -> Training:
    """Return what the info of an instruct or refine stage tells."""
    return Training(
        stage=stage,
        label=label,
        key=key,
        # Who learns online has neither demonstrations nor pairs.
        examples=info[next(name for name in ("demonstrations", "pairs", "questions") if name in info)],
        dropped=info.get("dropped", 0),
        steps=info["steps"],
        metrics={name: float(value) for name, value in info["metrics"].items()},
    )


def _demonstrations(plan: Plan, outcome: Outcome) -> tuple[Demonstrations, ...]:
    return tuple(
        demonstrations_told(node.key, node.stage.label(), outcome.artifacts[node.key].info)
        for node in plan.annotated
        if isinstance(node.stage, Annotate) and node.stage.demonstrates
    )


def demonstrations_told(key: str, label: str, info: Json) -> Demonstrations:
    """Return what an annotate stage's info tells of its answers."""
    names = ("asked", "answered", "right", "unanswered", "truncated", "failed")
    return Demonstrations(label=label, key=key, **{name: info[name] for name in names})


def _teacher_scores(plan: Plan, outcome: Outcome) -> tuple[TeacherScore, ...]:
    found = []
    for node in plan.annotated:
        stage, info = node.stage, outcome.artifacts[node.key].info
        if isinstance(stage, Annotate) and info["answered"]:
            questions = stage.questions
            named = (stage.teacher.spec, questions.benchmark.spec, questions.split, stage.prompting)
            found.append(teacher_score_told(node.key, *named, info))
    return tuple(found)


def teacher_score_told(
    key: str, teacher: str, benchmark: str, split: Split, prompting: Prompting, info: Json
) -> TeacherScore:
    """Return what an annotate stage's info tells of the teacher's own accuracy; something must have been answered."""
    value, n = info["right"] / info["answered"], info["answered"]
    return TeacherScore(
        teacher=teacher,
        benchmark=benchmark,
        split=split,
        prompting=prompting,
        value=value,
        stderr=standard_error(value, n),
        n=n,
        key=key,
    )


def _usage(plan: Plan, outcome: Outcome, stored: StoredRows) -> Usage:
    shared: dict[str, list[tuple[str, Annotate]]] = {}
    for node in plan.annotated:
        if isinstance(node.stage, Annotate):
            shared.setdefault(node.stage.journal_name(), []).append((node.key, node.stage))
    infos = list[Json]()
    for name, stages in shared.items():
        told = [outcome.artifacts[key].info for key, _ in stages]
        replies = stored.replies(name) if len(stages) > 1 else {}
        # Shares of the same questions have replies in common, each of which was paid for once.
        ids = {question.id for _, stage in stages for question in stage.questions.questions} if replies else set()
        found = [replies[one] for one in sorted(ids) if one in replies]
        # Rows may have been cleaned away since; what the stages told of themselves is then added up, common ones too.
        whole = found and len(found) >= max(info["asked"] - info["unanswered"] for info in told)
        infos += [{"usage": usage_of(stages[0][1].teacher, found).as_json()}] if whole else told
    return usage_told(infos)


def usage_told(infos: Sequence[Json]) -> Usage:
    """Return what these annotate stages' infos tell of tokens and money, added up."""
    used = [info["usage"] for info in infos]
    costs = [usage["cost"] for usage in used]
    return Usage(
        prompt_tokens=sum(usage["prompt_tokens"] for usage in used),
        completion_tokens=sum(usage["completion_tokens"] for usage in used),
        cost=None if None in costs or not costs else sum(costs),
    )


def _contamination(plan: Plan, cells: Sequence[Cell], stored: StoredRows) -> tuple[Contamination, ...]:
    """What of the scored questions overlaps with what was trained on, by benchmark, and the accuracies without it."""
    others = {(one.benchmark, one.id): one for one in _documents(plan, stored)}
    found: dict[str, dict[str, Overlap]] = {}
    asked: dict[str, set[str]] = {}
    done = set[tuple[tuple[tuple[str, str], ...], ...]]()
    for seed in dict.fromkeys(one.seed for one in plan.question_sets):
        # Splits that are drawn by seed may hold each other's questions: what leaks is what one seed both learns and is
        # asked.
        sets = [one for one in plan.question_sets if one.seed == seed]
        trained, scored = (
            {(one.benchmark, one.id): one for part in sets if part.split == split for one in part.questions}
            for split in ("train", "test")
        )
        scored |= others
        if (state := (tuple(trained), tuple(scored))) in done:
            continue
        done.add(state)
        for benchmark, name in scored:
            asked.setdefault(benchmark, set()).add(name)
        for overlap in overlaps(trained.values(), scored.values(), plan.recipe.ngram):
            found.setdefault(overlap.scored.benchmark, {})[overlap.scored.id] = overlap
    return tuple(
        Contamination(
            benchmark=name,
            n=len(asked[name]),
            ngram=plan.recipe.ngram,
            trained=tuple(dict.fromkeys(one.benchmark for overlap in shared.values() for one in overlap.trained)),
            questions=tuple(shared),
            scores=tuple(_without(cells, name, shared, stored)),
        )
        for name, shared in found.items()
    )


def _documents(plan: Plan, stored: StoredRows) -> Iterator[Question]:
    """The documents of lm-eval's own tasks, as far as their texts tell: all that stands in them."""
    for cell in plan.task_cells:
        stage = cell.node.stage
        # What a benchmark's own task asks is among its questions.
        if cell.phase == "baseline" and isinstance(stage, EvaluateTask) and not stage.questions:
            for row in stored.rows("evaluate", cell.node.key, DOCUMENTS) or ():
                name = f"{row['task']}/{row['document']}"
                yield Question(name, cell.benchmark, "number", "", row["text"], None, "")


def _without(
    cells: Sequence[Cell], benchmark: str, unwanted: Collection[str], stored: StoredRows
) -> Iterator[CleanScore]:
    for place, cell in enumerate(cells):
        if cell.benchmark == benchmark:
            rows = [stored.correct(score.key, cell.prompting) for score in cell.seeds]
            kept = [[right for name, right in row.items() if name not in unwanted] for row in rows]
            if all(kept):
                value = statistics.fmean(sum(right) / len(right) for right in kept)
                yield CleanScore(cell=place, value=value, n=len(kept[0]))


def _tasks(plan: Plan) -> dict[str, dict[Any, str]]:
    made = {cell.benchmark: cell.node.stage for cell in plan.cells}
    return {name: dict(stage.tasks()) for name, stage in made.items() if isinstance(stage, Evaluate)}


def _warnings(outcome: Outcome) -> list[str]:
    return [text for record in outcome.stages for text in record.info.get("warnings", ())]
