"""What a part may offer beside its required protocol of `sitkit.types`, each protocol optional.

sitkit asks with ``isinstance`` whether a part offers it: a part has the methods, or it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sitkit.types import (
    Benchmark,
    Distillation,
    Estimate,
    Generation,
    Json,
    Progress,
    Prompt,
    Prompting,
    Question,
    Reply,
    Reward,
    Split,
    Teacher,
    TrainingReport,
)

if TYPE_CHECKING:
    from sitkit.settings import ExploreSettings, Settings

Identity = tuple[str, frozenset[str]]
"""What two equal questions share: the question, folded, and the set of its options, folded."""


@runtime_checkable
class PromptCompleter(Protocol):
    """A teacher that completes any prompt, not only a question; a judge needs it."""

    def complete(self, prompts: Sequence[Prompt], generation: Generation) -> Iterator[tuple[str, str] | Reply]:
        """Yield (prompt id, completion) or a `Reply` as they arrive, in any order, as `Teacher.answer` does."""


@runtime_checkable
class PaidEndpoint(Protocol):
    """A teacher behind an endpoint: what it costs, and work under way that outlives a run."""

    def estimate(self, prompts: Sequence[Prompt], generation: Generation) -> Estimate:
        """Return what asking these would take, without asking; cheap."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the price of so many tokens, in US dollars; None if it is not known."""

    def begin(self, folder: Path, *, budget: float | None) -> None:
        """Get ready to be asked: ``folder`` (it may not exist yet) keeps what is under way, such as a batch's id.

        At most ``budget`` US dollars may be spent until the next call (None: no limit); before more would be,
        `Teacher.answer` raises `TeacherError`. Raises it at once if a budget is given and no price is known. A run
        calls it for every such teacher before anybody is asked, so that a missing key shows first.
        """

    def spent(self) -> float:
        """Return what was spent since `begin`, in US dollars, calls whose reply was lost on the way included."""


@runtime_checkable
class BatchSubmitter(Protocol):
    """A `PaidEndpoint` whose replies take hours: work is handed in before anybody waits for it."""

    def submit(self, questions: Sequence[Question], prompting: Prompting, generation: Generation) -> float:
        """Have these answered without waiting, after `begin`; return what they may cost at most, in US dollars.

        A later `Teacher.answer` with the same folder, in this run or another, gives their replies and does not ask
        again. Questions the budget does not allow are left out.
        """


@runtime_checkable
class Deduplicator(Protocol):
    """A benchmark that can leave out training questions that stand in its test split too."""

    def without_duplicates(self) -> Benchmark:
        """Return such a benchmark; its fingerprint differs from this one's."""


@runtime_checkable
class Subdivided(Protocol):
    """A benchmark whose questions fall into named groups, such as MMLU's subjects."""

    def subset(self, split: Split, seed: int, name: str) -> Sequence[Question]:
        """Return the questions of one group; none if there is no such group."""


@runtime_checkable
class QuestionIdentifier(Protocol):
    """A benchmark that says when two of its questions are the same."""

    def identity(self, question: Question) -> Identity:
        """Return what two equal questions share."""


@runtime_checkable
class Named(Protocol):
    """A benchmark made from a SPEC with an argument (``file:PATH``), which names itself.

    Its lm-eval tasks lie in no folder of its plugin: sitkit writes plain ones, under the names that `Benchmark.task`
    gives, wherever they are needed.
    """

    name: str
    """What keys, tables and its questions call it: as a registered name is, without anything of this machine."""


@runtime_checkable
class Divisible(Protocol):
    """A `Named` benchmark whose questions are for training, for the test, or for both, as a run uses them."""

    def divided(self, *, trained: bool, scored: bool) -> str:
        """Return the SPEC, readable from any folder, that has all questions for the one use, or some held out."""

    def with_test(self, test: Benchmark) -> str:
        """Return the SPEC that trains on these questions and is scored on the other's, which has the same name.

        Raises `SpecError` where one benchmark cannot have both.
        """

    def without(self, questions: Sequence[Question]) -> Benchmark:
        """Return the benchmark without the training questions that are among these, whatever benchmark they are of."""

    def left_out(self) -> int:
        """Return how many training questions `without` has left out."""

    def understood(self) -> str:
        """Return in one line what the questions were taken for, and how many there are of which use."""


@runtime_checkable
class RecommendsSettings(Protocol):
    """A strategy that makes sense with settings of its own: several samples a question, say."""

    def recommended(self) -> Mapping[str, Mapping[str, Json]]:
        """Return settings of sample, pair, refine and explore: over the student's, and under the user's."""


@runtime_checkable
class RewardStrategy(Protocol):
    """A strategy whose student learns from a reward for answers that it writes meanwhile.

    There are no pairs: its ``pairs`` and ``objective`` are not asked. Its ``fingerprint`` determines the reward.
    """

    def reward(self) -> Reward:
        """Return what an answer is worth."""


@runtime_checkable
class DistillationStrategy(Protocol):
    """A strategy whose student learns to answer as the teacher would go on, word by word, in answers of its own.

    There are no pairs: its ``pairs`` and ``objective`` are not asked.
    """

    def distillation(self) -> Distillation:
        """Return what is optimised."""


@runtime_checkable
class ExploringStudent(Protocol):
    """A student that can learn from a reward for its own answers."""

    def explore(
        self,
        start: Path,
        questions: Sequence[Question],
        reward: Reward,
        settings: ExploreSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Go on from the adapter in ``start``, which is also the frozen reference, and leave a new one in ``out``.

        Each of ``settings.steps`` steps draws ``settings.samples`` answers to the CoT prompts of ``settings.prompts``
        questions, which come in an order by ``seed``, each as often as the others. The rows of the report's ``log``
        tell "reward", the mean of each term as "rewards/TERM/mean", and what else there is ("kl",
        "completions/mean_length", "completions/clipped_ratio" by TRL's names).
        ``scratch`` is as for `Student.refine`.
        """


@runtime_checkable
class DistillingStudent(Protocol):
    """A student that can learn from what a teacher thinks of each token of its own answers."""

    def check_teacher(self, teacher: Teacher) -> None:
        """Raise `SettingError` for a teacher that it cannot learn from; cheap, called before anything runs."""

    def distil(
        self,
        start: Path,
        questions: Sequence[Question],
        teacher: Teacher,
        distillation: Distillation,
        settings: ExploreSettings,
        *,
        out: Path,
        scratch: Path,
        seed: int,
        progress: Progress,
    ) -> TrainingReport:
        """Go on from the adapter in ``start`` and leave a new one in ``out``; otherwise as `ExploringStudent.explore`.

        ``settings.beta`` and ``settings.loss`` are not for it.
        """


@runtime_checkable
class LoadableStudent(Protocol):
    """A student that can be handed out as the model it is, for a notebook."""

    def load(self, adapter: Path | None) -> tuple[Any, Any]:
        """Return its model as transformers loads it, the adapter merged in, and its tokenizer; the caller owns both."""


@runtime_checkable
class HarnessStudent(Protocol):
    """A student that lm-eval can ask anything, log-likelihoods and chats included: what any lm-eval task may need."""

    def harness_model(self, adapter: Path | None) -> Any:
        """Return it as an ``lm_eval.api.model.LM``, which reads plain text: a chat template is for lm-eval to apply.

        It is the student's own, as good as until the next call of any of its methods.
        """


@runtime_checkable
class Sourced(Protocol):
    """A benchmark drawn from a larger source, so that `sitkit data` counts that too, beside the paper's counts."""

    def pool(self, split: Split) -> Sequence[Question]:
        """Return all questions of the source's split that the benchmark's questions are drawn from."""

    def origin(self, split: Split) -> str:
        """Return where the rows come from, in a few words."""

    def identity(self, question: Question) -> Identity:
        """Return what two equal questions share."""

    def paper(self, split: Split) -> Mapping[str, int]:
        """Return the paper's counts: "rows" or "per_class", and "tolerance" where it prints one; {} if none."""


@runtime_checkable
class DefaultTeacher(Protocol):
    """A benchmark that knows who teaches it when nobody says."""

    def default_teacher(self) -> str:
        """Return the SPEC of that teacher. A run whose benchmarks name different ones asks for ``--teacher``."""


@runtime_checkable
class ScoredTogether(Protocol):
    """A benchmark that is scored together with others when nobody says what is scored."""

    def scored_with(self) -> Sequence[str]:
        """Return the names of all of them, its own included, in the order of the report."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training takes on a GPU.

    ``held`` is in bytes, before any example; ``token`` are the bytes that a token of an example keeps for the way back.
    It begins with ``at_once`` examples. ``operations`` are those of a token, forward and back, and ``share`` the part
    of the card's rate at which they are done; ``pass_seconds`` is what a pass takes however small it is.
    ``processes`` share each step, one a GPU; the weights are ``spread`` over so many GPUs (0: over all), which work one
    after the other.
    """

    held: float
    token: float
    at_once: int
    operations: float
    share: float
    pass_seconds: float
    processes: int = 1
    spread: int = 1


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a model takes on a GPU, counted from its shape before anything is loaded; sizes are in bytes.

    ``overhead`` is what is taken beside the model on each card. Answering: ``answering`` is held before any row,
    ``cache`` is what a token of a row keeps and ``row`` what a row takes beside; rows take ``row_share`` of what is
    free. ``operations`` are those of a token, done at ``share`` of the card's rate; ``read`` is read of the weights for
    each token that all rows write, at ``bandwidth_share``; ``pass_seconds`` is what a token takes at least.
    While answering the weights are ``spread`` over so many GPUs (0: over all), which work at once where ``parallel``,
    else one after the other. ``training`` is by stage; none for what is not trained.
    """

    model: str
    parameters: int
    overhead: float
    answering: float
    cache: float
    row: float
    row_share: float
    operations: float
    share: float
    read: float
    bandwidth_share: float
    pass_seconds: float
    spread: int = 1
    parallel: bool = False
    training: Mapping[str, Training] = field(default_factory=dict)


@runtime_checkable
class LocalModel(Protocol):
    """A teacher or a student that runs on this machine, and can tell how large it is before it is loaded."""

    def footprint(self, settings: Settings) -> Footprint | None:
        """Return what it takes on a GPU; None where its size is not known here. Cheap; asks no network."""

    def gpu_memory(self) -> Sequence[int]:
        """Return the bytes of each GPU that it would run on; none where it runs on no GPU here. Cheap."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """How an exported student is loaded, for its model card.

    ``base`` is the base model's id on the hub (None: it has none) and ``revision`` the one it was taken at;
    ``quantized`` names the file its weights were read from, and how they are quantised there, where they are. With
    ``chat`` prompts go through the tokenizer's chat template, after the message ``system`` if there is one.
    ``model_args`` are what ``lm_eval --model_args`` takes beside the model's place.
    """

    base: str | None = None
    revision: str | None = None
    chat: bool = False
    system: str | None = None
    quantized: str | None = None
    model_args: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class CardFacts(Protocol):
    """A student that knows what the model card of its exports has to say."""

    def card_facts(self, folder: Path) -> ModelFacts:
        """Return how the export in ``folder`` is loaded."""


def plain_identity(question: Question) -> Identity:
    """Return question and options without case and runs of white space, where a benchmark has no view of its own."""
    return _folded(question.question), frozenset(_folded(text) for text in question.choices or ())


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
