"""The nouns of sitkit and the protocols a plugin fulfils.

Data flows one way: Question -> Teacher -> Demonstration -> Student.instruct -> Answers -> Strategy.pairs ->
PreferencePair -> Student.refine -> Prediction -> Score. Names follow the field (TRL's columns: prompt,
completion, chosen, rejected). The method is that of Ranaldi and Freitas (2024), arXiv 2405.00402, "the paper".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from sitkit.settings import InstructSettings, RefineSettings, Settings
    from sitkit.spec import Spec

Json: TypeAlias = Any
"""A value that `json.dumps` takes: dict with str keys, list, str, int, float, bool or None."""

Kind = Literal["choice", "number", "math"]
Prompting = Literal["direct", "cot"]
Phase = Literal["baseline", "instruct", "refine"]
Split = Literal["train", "test"]
Origin = Literal["student", "teacher", "target"]

Method = Literal["both", "instruct", "refine"]

PROMPTINGS: tuple[Prompting, ...] = ("direct", "cot")
PHASES: tuple[Phase, ...] = ("baseline", "instruct", "refine")
METHODS: tuple[Method, ...] = ("both", "instruct", "refine")

COT_TRIGGER = "Let's think step by step"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) as a long step advances."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a benchmark.

    ``target`` is the letter for kind "choice" (``choices`` then holds the options' texts in order), the number as
    text for "number", LaTeX for "math". ``solution`` is the benchmark's own worked solution where it has one.
    ``id`` is unique within the benchmark and does not change between versions of sitkit.
    """

    id: str
    benchmark: str
    kind: Kind
    instruction: str
    question: str
    choices: tuple[str, ...] | None
    target: str
    solution: str | None = None

    def __post_init__(self) -> None:
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))

    def prompt(self, prompting: Prompting) -> str:
        """Return the prompt, exactly as in the paper's Table 2 ("direct") or Table 3 ("cot"), no trailing blank.

        The paper prints the trigger's apostrophe as U+2019 in Table 3 and as ``'`` in its text; ``'`` is used.
        """
        lines = [self.instruction, f"Question: {self.question}"]
        if self.choices is not None:
            lines.append("Choices:")
            lines += [f"{letter}) {text}" for letter, text in zip(LETTERS, self.choices, strict=False)]
        lines.append(f"Answer: {COT_TRIGGER}" if prompting == "cot" else "Answer:")
        return "\n".join(lines)

    def hinted(self) -> Question:
        """Return the question with its target given away, to be answered with how one gets there (`sample.hints`)."""
        return replace(self, question=f"{self.question} (The answer is {self.target_text}.)")

    @property
    def target_text(self) -> str:
        """The target as an answer a person would give: ``B) steam`` for a choice, the target itself otherwise."""
        if self.kind == "choice" and self.choices is not None:
            return f"{self.target}) {self.choices[LETTERS.index(self.target)]}"
        return self.target


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A teacher's worked answer to one training question. ``correct``: its final answer reaches the target.

    ``reasoning`` is what the teacher thought aloud before it, kept apart and trained on only where
    ``annotate.reasoning`` is keep; ``truncated``: the answer ended at the length limit.
    """

    question_id: str
    benchmark: str
    prompt: str
    completion: str
    teacher: str
    correct: bool
    reasoning: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """A student's own answers to one question: ``direct`` without the trigger, ``cot`` with it.

    ``direct_truncated`` and ``cot_truncated``: that answer was cut at the length limit (see `Completion`).
    """

    question_id: str
    benchmark: str
    direct: str
    cot: str
    direct_truncated: bool = False
    cot_truncated: bool = False


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One of a student's own answers to a question, judged.

    One that is ``truncated`` (see `Completion`) is never ``correct``, whatever can be read in it. ``hinted``: the
    target stood in its prompt (`Question.hinted`).
    """

    prompting: Prompting
    text: str
    correct: bool
    truncated: bool = False
    hinted: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """All a strategy may choose from for one question, judged: who answered what, and whether it was right.

    ``samples`` are all of the student's answers, in the order in which they were drawn: ``sample.samples`` of each
    prompting, of which ``answers`` holds the first; a candidate made without them has these two. Behind them stands the
    hinted one, where there is one (``sample.hints``). An answer that was cut
    at the length limit (``answers.direct_truncated``, ``answers.cot_truncated``) never counts as right here, whatever
    can be read in it, and may not be chosen.
    """

    question: Question
    answers: Answers
    demonstration: Demonstration | None
    direct_correct: bool
    cot_correct: bool
    samples: tuple[SampledAnswer, ...] = ()

    def __post_init__(self) -> None:
        if not self.samples:
            own = self.answers
            direct = SampledAnswer("direct", own.direct, self.direct_correct, own.direct_truncated)
            cot = SampledAnswer("cot", own.cot, self.cot_correct, own.cot_truncated)
            object.__setattr__(self, "samples", (direct, cot))

    def own(self, prompting: Prompting, *, correct: bool, hinted: bool = False) -> list[SampledAnswer]:
        """Return the student's own answers under a prompting that are right, or those that are not; ``hinted``: those
        it gave with the target in its prompt.

        Each text once, none that is empty: a draw that says what an earlier one said is not another answer.
        """
        found: dict[str, SampledAnswer] = {}
        for one in self.samples:
            kind = (one.prompting, one.correct, one.hinted)
            if kind == (prompting, correct, hinted) and one.text.strip():
                found.setdefault(one.text.strip(), one)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a chosen and a rejected completion, where the chosen one came from, and which were right.

    ``rejected_truncated``: the rejected one was cut at the length limit, so that no end token follows it in training;
    set by the pair stage, whatever the strategy says. ``rejected`` is empty where there is nothing but a chosen side to
    train on: a strategy says so with a `TrainingRow`.
    """

    question_id: str
    benchmark: str
    prompt: str
    chosen: str
    rejected: str
    chosen_from: Origin
    chosen_correct: bool
    rejected_correct: bool
    rejected_truncated: bool = False


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A prompt with an answer to learn, and none to reject; for strategies whose objective is ``("sft",)`` alone."""

    question_id: str
    benchmark: str
    prompt: str
    chosen: str
    chosen_from: Origin
    chosen_correct: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A question that gives no pair, and why, in a few words that can be counted ("same text", "no demonstration")."""

    question_id: str
    benchmark: str
    reason: str


@dataclass(frozen=True, slots=True)
class Objective:
    """What refining optimises, as plain data: TRL's ``loss_type`` names, their weights, and beta.

    ``loss=("sigmoid",)`` is DPO (Rafailov et al. 2023); ``("sigmoid", "sft")`` adds the chosen side's likelihood;
    ``("sft",)`` alone is plain fine-tuning on the chosen sides.
    """

    loss: tuple[str, ...] = ("sigmoid",)
    weights: tuple[float, ...] = (1.0,)
    beta: float = 0.1


@dataclass(frozen=True, slots=True)
class Reward:
    """What an answer is worth that a student writes while it learns: the sum of terms, each times its weight.

    ``judge(question, completion)`` returns the value of every term of ``weights``, by name, between 0 and 1 where it is
    a share of answers that is to be told. It is pure; a completion that was cut says so.
    """

    weights: Mapping[str, float]
    judge: Callable[[Question, Completion], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Distillation:
    """What distilling optimises: the generalised Jensen-Shannon divergence between student and teacher, token by token.

    ``beta`` 0 is the KL divergence from the teacher, 1 the reverse one, 0.5 the usual Jensen-Shannon divergence
    (Agarwal et al. 2024, arXiv 2306.13649, eq. 1).
    """

    beta: float = 0.5


@dataclass(frozen=True, slots=True)
class Prediction:
    """One scored answer: the completion, the answer read out of it (None if none was found), right or wrong.

    ``truncated``: it was cut at the length limit; what can be read in it counts all the same, as in lm-eval.
    """

    question_id: str
    benchmark: str
    prompting: Prompting
    completion: str
    extracted: str | None
    correct: bool
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy on one benchmark under one prompting: ``value`` and ``stderr`` between 0 and 1, over ``n`` questions.

    ``truncated`` answers were cut at the length limit; ``finished_correct`` counts the right ones among the others.
    ``repeated`` questions got one and the same answer, ``repeated_answer`` (0 and "": no answer is given so often that
    it tells something; see `sitkit.stages.evaluate.repeated`).
    """

    benchmark: str
    domain: str
    prompting: Prompting
    metric: str
    value: float
    stderr: float
    n: int
    extraction_failures: int
    truncated: int
    finished_correct: int
    repeated: int
    repeated_answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to complete. ``id`` keys the randomness of its completion, so that order and batch do not matter."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What a student wrote for the prompt ``id``, stripped.

    ``truncated``: it was cut, at ``max_new_tokens`` or where the model sees no further, before the student ended it.
    One that ended with an end token or at a stop string was not, even if it took every token it may have.
    ``tokens``: how many it wrote, an end token and what a stop string cut off included; None where nobody counts.
    """

    id: str
    text: str
    truncated: bool = False
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """How to generate. Temperature 0 is greedy; above it, each prompt draws from its own stream (seed, prompt id).

    Generation of a row ends at the end-of-sequence token, at ``max_new_tokens``, or at the first of the ``stop``
    strings, which is cut off. Above temperature 0 a token is drawn from the ``top_k`` likeliest (0: from all), and of
    these from the likeliest that together reach the probability ``top_p``, at that temperature.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ("\nQuestion:",)
    top_p: float = 1.0
    top_k: int = 0


ANSWERED = "answered"
TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one question or prompt, and what it used.

    ``outcome`` is `ANSWERED`; or `TRUNCATED`, an answer that ended at the length limit, which is kept but never
    trained on; or, in a few words that can be counted ("refusal", "empty reply", "time-out"), why there is none:
    such a failure is listed with its ``detail`` and tried again by the next run of the same command. ``reasoning`` is
    what a reasoning model thought aloud, apart from the answer. Tokens are the provider's own count, 0 if unknown.
    """

    id: str
    completion: str = ""
    outcome: str = ANSWERED
    detail: str = ""
    reasoning: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def failed(self) -> bool:
        """Whether there is no answer."""
        return self.outcome not in (ANSWERED, TRUNCATED)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking would take: calls, tokens in, tokens out at most, and money at most (None: no price is known).

    ``pricing`` is for the user: where the price was looked up, or what has none; empty where the user gave it.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    pricing: str = ""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training step has to tell: steps done, metrics by name, the logged curve, warnings for the user."""

    steps: int
    metrics: Mapping[str, float]
    log: Sequence[Mapping[str, float]] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StageInfo:
    """A stage, as hooks around stages see it. ``folder`` is where its artifacts lie (or will)."""

    stage: str
    label: str
    key: str
    folder: Path


@runtime_checkable
class Teacher(Protocol):
    """Answers questions step by step. Making one must be cheap: heavy imports belong in `answer`."""

    def fingerprint(self) -> Json:
        """Return what determines the answers (model, revision, file contents, options): part of the store's keys.

        Must be cheap, import nothing heavy, and never hold a secret.
        """

    def answer(
        self, questions: Sequence[Question], prompting: Prompting, generation: Generation
    ) -> Iterator[tuple[str, str] | Reply]:
        """Yield (question id, completion), or a `Reply` with more to tell, as answers arrive, in any order.

        A question may be left unanswered, for good; a failed `Reply` is one that may succeed another time. Each
        answer is stored as it is yielded, and only missing questions are asked again after an interruption.
        Raises `TeacherError` when going on makes no sense.
        """

    def close(self) -> None:
        """Free what was loaded."""


@runtime_checkable
class Student(Protocol):
    """A model that can be instructed, refined and asked. Making one must be cheap: heavy imports belong in the methods.

    Weights learnt lie in an adapter folder (``None`` stands for the untouched base model). An implementation keeps
    its base model loaded between calls, so that stages that follow each other share one load.
    """

    def fingerprint(self) -> Json:
        """Return what determines the base model's behaviour; cheap, nothing heavy imported."""

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Return settings this student recommends over the paper's, by stage: ``{"instruct": {"epochs": 4}}``."""

    def check(self, settings: Settings, objective: Objective) -> None:
        """Raise `SettingError` for settings or an objective this student cannot train with.

        Called before anything runs, so that a wrong loss or schedule does not show after hours; cheap.
        """

    def instruct(
        self,
        demonstrations: Sequence[Demonstration],
        settings: InstructSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Fine-tune on the demonstrations' completions and leave an adapter in ``out``.

        With no demonstrations, leave an adapter that changes nothing, for a student that is refined untaught.
        ``scratch`` survives a kill: whole checkpoints found there are gone on from. It is removed once done.
        """

    def refine(
        self,
        start: Path,
        pairs: Sequence[PreferencePair],
        objective: Objective,
        settings: RefineSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Go on from the adapter in ``start``, which is also the frozen reference, and leave a new one in ``out``."""

    def complete(
        self, adapter: Path | None, prompts: Sequence[Prompt], generation: Generation
    ) -> Iterator[Completion | tuple[str, str]]:
        """Yield a `Completion` of each prompt as they are done, in any order.

        A plain pair (prompt id, text) is taken as one that was not cut.
        """

    def export(self, adapter: Path | None, out: Path, *, merge: bool) -> None:
        """Write a folder that transformers and PEFT load: the adapter, or with ``merge`` the whole model."""

    def close(self) -> None:
        """Free what was loaded."""


@runtime_checkable
class Strategy(Protocol):
    """Chooses preference pairs and names the objective; pure functions, no torch."""

    def fingerprint(self) -> Json:
        """Return what determines the pairs, beside the candidates."""

    def objective(self) -> Objective:
        """Return what refining on these pairs optimises; ``--set refine.loss=…`` and ``refine.beta=…`` override it."""

    def pairs(self, candidates: Sequence[Candidate]) -> Iterator[PreferencePair | TrainingRow | LeftOut]:
        """Yield, for every candidate, its pairs, or its plain rows, or the reason why there is none; in any order."""


@runtime_checkable
class Benchmark(Protocol):
    """Questions of one kind with a train and a test split, and the lm-eval tasks that score them."""

    domain: str
    """The family it belongs to: "math" or "qa" for ours; "in domain" means the same family as the training tasks."""

    def fingerprint(self, split: Split, seed: int) -> Json:
        """Return what determines the questions; cheap where possible. Leave the seed out if it changes nothing."""

    def questions(self, split: Split, seed: int) -> Sequence[Question]:
        """Return the questions in a fixed order. Raises `DataError` naming file, line and field."""

    def task(self, prompting: Prompting) -> str:
        """Return the name of the lm-eval task that scores the test split under this prompting."""


@dataclass(frozen=True)
class Context:
    """What a factory may use: where data lies, and other plugins' parts through the same doors.

    So a plugin that ships a model folder gives it a name in one line, on top of whichever plugin runs such models:
    ``return context.student(Spec("hf", str(FOLDER)))``; the folder's ``sitkit.json`` may hold
    ``{"recommended": {"instruct": {"epochs": 4}}}``, which the student then recommends.
    """

    data_dir: Path | None = None
    teacher: Callable[[Spec], Teacher] = field(default=lambda spec: _no_registry(spec), repr=False)
    student: Callable[[Spec], Student] = field(default=lambda spec: _no_registry(spec), repr=False)
    benchmark: Callable[[str], Benchmark] = field(default=lambda name: _no_registry(name), repr=False)


def _no_registry(name: object) -> Any:
    raise LookupError(f"this context was made without a registry, so {name} cannot be looked up")


TeacherFactory: TypeAlias = "Callable[[Spec, Context], Teacher]"
StudentFactory: TypeAlias = "Callable[[Spec, Context], Student]"
StrategyFactory: TypeAlias = "Callable[[Spec, Context], Strategy]"
BenchmarkFactory: TypeAlias = "Callable[[Spec, Context], Benchmark]"
