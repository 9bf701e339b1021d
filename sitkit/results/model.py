"""What a run found, as typed data: results.json is these classes and nothing else.

Shares are between 0 and 1, differences are later minus earlier, errors are named by what they are over: questions or
seeds. Everything is computed once, in `sitkit.results.build`; tables, pages, cards and trackers read it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from sitkit.types import PHASES, Json, Method, Origin, Phase, Prompting, Split

SCHEMA = 4
"""The version of the shape of results.json; raised with any change to it, and other versions are refused."""

Tasks = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the run. ``content`` is the digest of its files; ``seconds`` is what it took when it was made."""

    stage: str
    label: str
    key: str
    content: str
    seconds: float
    reused: bool

    @property
    def title(self) -> str:
        """The stage's name and label."""
        return f"{self.stage} {self.label}".strip()


@dataclass(frozen=True, kw_only=True)
class Round:
    """The keys of the stages of one round of refining; a strategy that learns online samples and pairs nothing."""

    sample: tuple[str, ...]
    pair: str | None
    refine: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all its stages, in order."""
        return (*self.sample, *filter(None, [self.pair]), self.refine)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One seed of an arm: the keys of its stages. None or empty: the arm has no such stage.

    ``earlier`` are the rounds of refining before the one that ``sample``, ``pair`` and ``refine`` name.
    """

    seed: int
    annotate: tuple[str, ...] = ()
    instruct: str | None = None
    sample: tuple[str, ...] = ()
    pair: str | None = None
    refine: str | None = None
    earlier: tuple[Round, ...] = ()

    @property
    def rounds(self) -> tuple[Round, ...]:
        """Every round of refining, in order."""
        if self.refine is None:
            return ()
        return (*self.earlier, Round(sample=self.sample, pair=self.pair, refine=self.refine))


NO_STRATEGY = "none"
"""The strategy of every arm of a run that refines nothing."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One student taught in one way, with a `Lesson` for each seed.

    ``method`` is "both", or "instruct" or "refine" where only that was done; ``train_on`` is empty where the student
    was refined untaught, ``refine_on`` where it was not refined; ``strategy`` is "none" where the run refined no
    student at all. ``settings`` (stage -> key -> value) are those in
    which the students and strategies of a run differ; the others stand in the recipe.
    """

    student: str
    teacher: str
    strategy: str
    train_on: Tasks
    refine_on: Tasks
    fraction: float
    method: Method
    lessons: tuple[Lesson, ...]
    settings: Mapping[str, Mapping[str, Json]] = field(default_factory=dict, hash=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order they were run."""
        return tuple(lesson.seed for lesson in self.lessons)

    @property
    def crossed(self) -> bool:
        """Whether it was refined on other tasks than it was instructed on (cross self-refine, section 4.3)."""
        return bool(self.train_on and self.refine_on) and set(self.train_on) != set(self.refine_on)

    @property
    def setting(self) -> tuple[str, str, str]:
        """Student, teacher and strategy."""
        return self.student, self.teacher, self.strategy


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Answers sampled besides, ``samples`` to a question: ``right[c]`` questions have c right ones, and of ``majority``
    questions the commonest answer is right.
    """

    samples: int
    right: tuple[int, ...]
    majority: int


@dataclass(frozen=True, kw_only=True)
class SampledScore:
    """A number that follows from sampled answers, ``mean@8`` say, with its 95% interval over questions."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SeedScore:
    """What one seed scored in a cell. ``key`` names the evaluate stage that holds the answers; ``stderr`` is lm-eval's.

    ``worked``: answers of more than one sentence, ``worked_correct`` those of them that are right; ``characters``: the
    length of all answers together; ``unread``: answers in which no answer was found, which count as wrong;
    ``truncated``: answers cut at the length limit, ``finished_correct`` the right ones among the others; ``repeated``:
    questions that got one and the same answer, ``repeated_answer``, where these are suspiciously many (else 0 and "").
    """

    seed: int
    key: str
    n: int
    value: float
    stderr: float
    unread: int
    worked: int
    worked_correct: int
    characters: int
    truncated: int
    finished_correct: int
    repeated: int
    repeated_answer: str
    sampled: Sampled | None = None

    @property
    def finished_accuracy(self) -> float | None:
        """The accuracy among the answers that were not cut, None where all were."""
        finished = self.n - self.truncated
        return self.finished_correct / finished if finished else None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Accuracy of one student after one phase on one benchmark under one prompting.

    What a phase does not depend on is blank: a baseline has no teacher, an instructed student nothing it was refined
    on. ``over_questions`` is the standard error over questions (`sitkit.results.accuracy.standard_error`, the mean of
    the seeds': they share their questions), ``over_seeds`` the standard error of the mean over seeds and ``deviation``
    their standard deviation (None for one seed). ``n`` counts the questions of one seed. ``worked`` is the share of
    answers with more than one sentence, ``worked_accuracy`` the accuracy among them, ``other_accuracy`` among the rest
    (None where there is none). ``truncated`` is the share of answers that were cut at the length limit,
    ``finished_accuracy`` the accuracy among the others (None where all were cut). ``sampled`` is what answers that were
    sampled besides show (`sitkit.results.accuracy.sampled_scores`).
    """

    student: str
    teacher: str
    strategy: str
    method: str
    fraction: float
    phase: Phase
    train_on: Tasks
    refine_on: Tasks
    benchmark: str
    domain: str
    transfer: str
    prompting: Prompting
    value: float
    over_questions: float
    over_seeds: float | None
    deviation: float | None
    n: int
    unread: float
    worked: float
    worked_accuracy: float | None
    other_accuracy: float | None
    truncated: float
    finished_accuracy: float | None
    seeds: tuple[SeedScore, ...]
    sampled: tuple[SampledScore, ...] = ()

    @property
    def error(self) -> float:
        """Both standard errors together."""
        return math.hypot(self.over_questions, self.over_seeds or 0.0)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval over questions."""
        from sitkit.results.accuracy import wilson

        return wilson(self.value, self.n)

    @property
    def keys(self) -> tuple[str, ...]:
        """The evaluate stages behind it, each once."""
        return tuple(dict.fromkeys(score.key for score in self.seeds))


@dataclass(frozen=True, kw_only=True)
class RoundCell:
    """A cell of a student after so many rounds of refining, which go on."""

    round: int
    cell: Cell


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two cells on the same questions, question by question.

    ``low`` and ``high`` bound the 95% percentile bootstrap interval of ``difference`` over questions: with several
    seeds a question counts once, by its mean over them (None for fewer than two questions). ``gained`` and ``lost``
    count the questions that went from wrong to right and from right to wrong, summed over seeds. ``p`` holds the
    p-value of McNemar's exact test of each seed, ``changes`` gained less lost of each. ``n`` counts different
    questions.
    """

    n: int
    difference: float
    low: float | None
    high: float | None
    gained: int
    lost: int
    p: tuple[float, ...]
    changes: tuple[int, ...]

    @property
    def certain(self) -> bool:
        """Whether the test rejects equality at 5% in every seed, and the interval too, always in one direction."""
        if not self.p or self.low is None or self.high is None:
            return False
        alike = all(change * self.difference > 0 for change in self.changes)
        return max(self.p) < 0.05 and alike and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Change:
    """From one phase of a student to the next: ``before`` and ``after`` are places in `Results.cells`.

    ``value`` is the mean over shared seeds of the accuracies' difference, ``interval`` half its 95% t-interval over
    seeds (None for one). With w the worked share, a the accuracy among worked answers and b among the others, accuracy
    is w*a + (1-w)*b: ``style`` is the change of w times the mean of a-b (more answers are worked out), ``skill`` the
    rest (answers of a kind became better). ``detectable`` is the smallest difference that so many questions tell from
    none in 80% of all cases, ``needed`` how many questions ``value`` would take (None where it is 0, or takes more than
    a million). ``holm`` is the test's p-value (the largest of the seeds') as Holm's correction has it over all tests of
    the run: what is told of a family of tests (None without a test).
    """

    before: int
    after: int
    value: float
    interval: float | None
    style: float
    skill: float
    paired: PairedTest | None
    detectable: float
    needed: int | None
    holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A strategy of a contest: its mean ``accuracy`` with CoT over benchmarks, and what it took from the instructed
    student on, as if it were alone, over all seeds and rounds. ``pairs`` are plain rows where it gave those; of tokens
    ``written`` are those of the student's answers, ``trained`` those gone through in training (None: not counted).
    """

    strategy: str
    accuracy: float
    prompts: int
    written: int | None
    pairs: int
    trained: int | None
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Duel:
    """A strategy less the control, with CoT, on a benchmark, or on all together ("").

    ``difference`` is of the accuracies, the mean over benchmarks and seeds; ``interval`` half its 95% t-interval over
    seeds; ``paired`` compares question by question; ``p`` is that of `sitkit.results.significance.sign_flips`, ``holm``
    it with Holm's correction: over the strategies, or over strategies and benchmarks.
    """

    strategy: str
    benchmark: str
    difference: float
    interval: float | None
    paired: PairedTest | None
    p: float | None
    holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Strategies held against the ``control``."""

    control: str
    contenders: tuple[Contender, ...]
    duels: tuple[Duel, ...]


@dataclass(frozen=True, kw_only=True)
class TaskSeed:
    """One seed's value of a metric. ``key`` names the evaluate stage; ``stderr`` is lm-eval's (None: it has none)."""

    seed: int
    key: str
    value: float
    stderr: float | None


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One metric of an lm-eval task that is scored beside the benchmarks, after one phase: as lm-eval reports it.

    What the phase does not depend on is blank, as in a `Cell`. ``title`` is the task as the user named it, ``task`` it
    or a member of the group; ``tasks`` are those whose ``n`` documents the metric is of; ``filter`` is lm-eval's name
    for how answers were cleaned. ``value`` is the mean over seeds, ``stderr`` of one seed.
    """

    student: str
    teacher: str
    strategy: str
    method: str
    fraction: float
    phase: Phase
    train_on: Tasks
    refine_on: Tasks
    title: str
    task: str
    tasks: Tasks
    metric: str
    filter: str
    higher_is_better: bool | None
    num_fewshot: int | None
    n: int
    value: float
    stderr: float | None
    seeds: tuple[TaskSeed, ...]

    @property
    def measure(self) -> str:
        """The metric's name, with the filter where it tells something."""
        return self.metric if self.filter == "none" else f"{self.metric} ({self.filter})"


@dataclass(frozen=True, kw_only=True)
class TaskChange:
    """What training did to a metric: from the untaught student, ``before``, to a taught one, ``after`` (places in
    `Results.forgetting`).

    ``low`` and ``high`` bound the 95% interval of ``value``: by paired bootstrap over documents (``paired``) where each
    counts 0 or 1 and the metric is their mean, else from lm-eval's two standard errors as if they were independent
    (None without them).
    """

    before: int
    after: int
    value: float
    low: float | None
    high: float | None
    paired: PairedTest | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Where the preference pairs of one arm and seed came from, in counts.

    ``truncated`` questions have an own answer of the student that was cut at the length limit. ``fell_back`` counts the
    pairs whose chosen answer is another's where the student's own was cut, ``rejected_truncated`` those whose rejected
    answer was cut, after which no end token is trained.
    """

    key: str
    label: str
    questions: int
    direct_correct: int
    cot_correct: int
    total: int
    chosen_from: Mapping[Origin, int]
    chosen_characters: int
    rejected_characters: int
    rejected_correct: int
    rejected_truncated: int
    truncated: int
    fell_back: int
    without_demonstration: int
    left_out: int
    left_out_reasons: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training stage told: on how many ``examples`` (demonstrations or pairs), steps, metrics by name."""

    stage: str
    label: str
    key: str
    examples: int
    dropped: int
    steps: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """What a teacher answered to one benchmark's training questions, in counts."""

    label: str
    key: str
    asked: int
    answered: int
    right: int
    unanswered: int
    truncated: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class TeacherScore:
    """A teacher's own accuracy (Table 5), over the ``n`` questions it answered."""

    teacher: str
    benchmark: str
    split: Split
    prompting: Prompting
    value: float
    stderr: float
    n: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of all teachers' replies, and their cost in US dollars if every price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """How many of the ``n`` test questions of a benchmark are training questions too."""

    benchmark: str
    n: int
    in_train: int


@dataclass(frozen=True, kw_only=True)
class CleanScore:
    """The accuracy of ``cell`` (its place in `Results.cells`) over those ``n`` questions that overlap with none."""

    cell: int
    value: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The ``questions`` (ids) of a benchmark's ``n`` test questions that share ``ngram`` words in a row, or all of
    their words, with questions trained on, of the benchmarks ``trained``; ``scores`` are those without them. Of an
    lm-eval task scored beside the benchmarks it is the documents, by task and number, and there are no such scores.
    """

    benchmark: str
    n: int
    ngram: int
    trained: Tasks
    questions: tuple[str, ...]
    scores: tuple[CleanScore, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Results:
    """All a run found. ``recipe`` is the full one, every setting resolved, as plain data.

    ``built_from`` is the digest of what determined it (`sitkit.results.build`), ``digest`` that of everything else
    here; ``forgetting`` are the lm-eval tasks scored beside the benchmarks; ``tasks``: benchmark -> prompting ->
    lm-eval task; ``notices``: what the user was told while it ran; ``rounds``: what was scored between rounds of
    refining; ``contest``: strategies held against a control.
    """

    schema: int = SCHEMA
    digest: str = ""
    built_from: str
    recipe: dict[str, Json]
    versions: Mapping[str, str]
    arms: tuple[Arm, ...]
    cells: tuple[Cell, ...]
    changes: tuple[Change, ...]
    forgetting: tuple[TaskScore, ...] = ()
    forgetting_changes: tuple[TaskChange, ...] = ()
    pairs: tuple[Pairs, ...]
    training: tuple[Training, ...]
    demonstrations: tuple[Demonstrations, ...]
    teacher_scores: tuple[TeacherScore, ...]
    usage: Usage
    duplicates: tuple[Duplicates, ...]
    contamination: tuple[Contamination, ...] = ()
    tasks: Mapping[str, Mapping[Prompting, str]]
    notices: tuple[str, ...]
    stages: tuple[Stage, ...]
    rounds: tuple[RoundCell, ...] = ()
    contest: Contest | None = None

    @property
    def shared(self) -> str:
        """What fractions are shares of, in words."""
        of_demonstrations = self.recipe.get("fraction_of") == "demonstrations"
        return "demonstrations kept" if of_demonstrations else "training questions"

    def cells_of(self, arm: Arm) -> list[Cell]:
        """Return the cells of an arm's own phases and of those before them, which it may share with other arms."""
        return [cell for cell in self.cells if belongs(cell, arm)]

    def cell(self, arm: Arm, phase: Phase, prompting: Prompting, benchmark: str) -> Cell | None:
        """Return one cell of an arm, or None if it has none there."""
        place = (phase, prompting, benchmark)
        return next(
            (cell for cell in self.cells_of(arm) if (cell.phase, cell.prompting, cell.benchmark) == place), None
        )

    def change(self, before: Cell, after: Cell) -> Change | None:
        """Return the change between two cells, or None if they are not a phase and the next of one student."""
        ends = (self.cells.index(before), self.cells.index(after))
        return next((change for change in self.changes if (change.before, change.after) == ends), None)

    def ends(self, change: Change) -> tuple[Cell, Cell]:
        """Return the earlier and the later cell of a change."""
        return self.cells[change.before], self.cells[change.after]

    def changes_to(self, phase: Phase, prompting: Prompting | None = None) -> Iterator[tuple[Cell, Cell, Change]]:
        """Yield (earlier, later, change) for every change that ends in a phase."""
        for change in self.changes:
            before, after = self.ends(change)
            if after.phase == phase and prompting in (None, after.prompting):
                yield before, after, change

    def task_changes(self) -> Iterator[tuple[TaskScore, TaskScore, TaskChange]]:
        """Yield (untaught, taught, change) for every change of an lm-eval task scored beside the benchmarks."""
        for change in self.forgetting_changes:
            yield self.forgetting[change.before], self.forgetting[change.after], change

    def pairs_of(self, lesson: Lesson) -> Pairs | None:
        """Return the pairs an arm was refined on with one seed."""
        return next((pairs for pairs in self.pairs if pairs.key == lesson.pair), None)

    def training_of(self, lesson: Lesson, phase: Phase) -> Training | None:
        """Return what the training of a phase told."""
        key = lesson.instruct if phase == "instruct" else lesson.refine
        return next((training for training in self.training if training.key == key), None)

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks scored, in order."""
        return list(dict.fromkeys(cell.benchmark for cell in self.cells))

    @property
    def mean_accuracy(self) -> dict[Phase, float]:
        """The mean accuracy with CoT over all cells of a phase."""
        found: dict[Phase, float] = {}
        for phase in PHASES:
            values = [cell.value for cell in self.cells if (cell.phase, cell.prompting) == (phase, "cot")]
            if values:
                found[phase] = sum(values) / len(values)
        return found

    def narrowed(self, arm: Arm, seed: int) -> Results:
        """Return the results as if the run had had one arm and one seed alone: what a model card tells.

        The cells are those of the seed: there is no error over seeds any more. Changes are left out but for those whose
        ends have no other seed.
        """
        lesson = next(lesson for lesson in arm.lessons if lesson.seed == seed)
        alone = replace(arm, lessons=(lesson,))
        rounds = [key for one in lesson.earlier for key in (one.pair, one.refine)]
        keys = {lesson.pair, lesson.instruct, lesson.refine, *lesson.annotate, *rounds}
        own = self.cells_of(arm)
        kept = [cell for cell in own if len(cell.seeds) == 1]
        changes = [
            replace(change, before=own.index(before), after=own.index(after))
            for before, after, change in ((*self.ends(change), change) for change in self.changes)
            if before in kept and after in kept
        ]
        recipe = {
            **self.recipe,
            **{name: getattr(arm, name) for name in ("student", "teacher", "strategy", "fraction")},
            "refine_on": list(arm.refine_on) or None,
            # A student that is refined untaught has nothing it is trained on, and a recipe must name something.
            "train_on": list(arm.train_on or arm.refine_on),
            "cross": False,
            "methods": [arm.method],
            "seeds": [seed],
            "set": {
                stage: {**keys, **arm.settings.get(stage, {})} for stage, keys in self.recipe.get("set", {}).items()
            },
        }
        others = [score for score in self.forgetting if belongs(score, arm)]
        one_seed = [score for score in others if len(score.seeds) == 1]
        return replace(
            self,
            recipe=recipe,
            arms=(alone,),
            contamination=tuple(replace(one, scores=()) for one in self.contamination),
            forgetting=tuple(_task_of_seed(score, seed) for score in others),
            forgetting_changes=tuple(
                replace(change, before=others.index(before), after=others.index(after))
                for before, after, change in self.task_changes()
                if before in one_seed and after in one_seed
            ),
            cells=tuple(of_seed(cell, seed) for cell in own),
            changes=tuple(changes),
            pairs=tuple(pairs for pairs in self.pairs if pairs.key in keys),
            training=tuple(training for training in self.training if training.key in keys),
            demonstrations=tuple(one for one in self.demonstrations if one.key in keys),
            notices=(),
            rounds=tuple(replace(one, cell=of_seed(one.cell, seed)) for one in self.rounds if belongs(one.cell, arm)),
            contest=None,
        )


def belongs(cell: Cell | TaskScore, arm: Arm) -> bool:
    """Whether a cell is one of an arm's: its own phases, or a phase before them that arms may share."""
    if cell.student != arm.student:
        return False
    if cell.phase == "baseline":
        return True
    if (cell.teacher, cell.fraction) != (arm.teacher, arm.fraction):
        return False
    if cell.phase == "instruct":
        return bool(arm.train_on) and cell.train_on == arm.train_on
    return (cell.strategy, cell.method, cell.train_on, cell.refine_on) == (
        arm.strategy, arm.method, arm.train_on, arm.refine_on
    )  # fmt: skip


def belongs_before(earlier: Cell, later: Cell) -> bool:
    """Whether a cell is of the instructed student that a refined one's cell started from, under its prompting."""
    names = ("student", "teacher", "fraction", "train_on", "prompting")
    return all(getattr(earlier, name) == getattr(later, name) for name in names)


def of_seed(cell: Cell, seed: int) -> Cell:
    """Return the cell of one seed alone."""
    from sitkit.results.accuracy import summarised

    return summarised(cell, [score for score in cell.seeds if score.seed == seed])


def _task_of_seed(score: TaskScore, seed: int) -> TaskScore:
    alone = next(one for one in score.seeds if one.seed == seed)
    return replace(score, value=alone.value, stderr=alone.stderr, seeds=(alone,))


def sealed(results: Results) -> Results:
    """Return the results with the digest of all that is in them."""
    return replace(results, digest=digest_of(results))


def digest_of(results: Results) -> str:
    """Return the sha256 of the results' JSON without their digest."""
    return hashlib.sha256(msgspec.json.encode(replace(results, digest=""))).hexdigest()


def encoded(results: Results) -> bytes:
    """Return the content of results.json: JSON, indented by one blank."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


@dataclass(frozen=True)
class _Head:
    schema: int = 0


def decoded(content: bytes) -> Results:
    """Read the content of results.json. Raises ValueError saying what is wrong, where, or that it is another schema."""

    found = msgspec.json.decode(content, type=_Head).schema
    if found != SCHEMA:
        raise ValueError(f"another version of sitkit wrote it (schema {found or 'none'}, this one reads {SCHEMA})")
    results = msgspec.json.decode(content, type=Results)
    for change in results.changes:
        if not (0 <= change.before < len(results.cells) and 0 <= change.after < len(results.cells)):
            raise ValueError("a change names a cell that is not there")
    if not all(0 <= one.cell < len(results.cells) for found in results.contamination for one in found.scores):
        raise ValueError("a score without overlaps names a cell that is not there")
    for moved in results.forgetting_changes:
        if not all(0 <= place < len(results.forgetting) for place in (moved.before, moved.after)):
            raise ValueError("a change names a score that is not there")
    if digest_of(results) != results.digest:
        raise ValueError("it is damaged: its digest does not match")
    return results


def seeds_of(arms: Sequence[Arm]) -> tuple[int, ...]:
    """Return the seeds of all arms, each once."""
    return tuple(dict.fromkeys(seed for arm in arms for seed in arm.seeds))
