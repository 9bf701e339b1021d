"""What cards can do, from their makers' data sheets, and what a stage would take on one: hours and memory, counted.

A model's own part of it (`sitkit.capabilities.Footprint`) is its plugin's to say. Nothing is loaded and nothing is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sitkit.capabilities import Footprint, LocalModel, Training
from sitkit.components import Component, QuestionSet
from sitkit.errors import UsageError, suggestion
from sitkit.plan import Plan
from sitkit.settings import Settings
from sitkit.stages import Annotate, Evaluate, Explore, Instruct, Node, Pair, Refine, Sample, Stage
from sitkit.store import Artifact
from sitkit.types import PROMPTINGS, Prompting

ANSWER_TOKENS = 150
"""How long an answer is taken to be where its limit allows: GPT-3's worked answers to word problems have 300 letters on
average (1,791 of them; Kojima et al. 2022), some 75 tokens, and chat models say about twice as much."""

LETTERS = 4
"""Letters of a token: near for English prose."""

MOST_ROWS = 1024
"""Rows that are answered at once at most."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A card, or ``count`` equal ones: operations a second in 16 bits, bytes a second of its memory, and bytes of it.

    ``bfloat16``: its tensor cores multiply bfloat16; without, the rate is that of float16.
    """

    name: str
    rate: float
    bandwidth: float
    memory: float
    bfloat16: bool = True
    count: int = 1

    @property
    def title(self) -> str:
        """The name, with how many of it there are."""
        return self.name if self.count == 1 else f"{self.count}x{self.name}"


# Rates are dense (data sheets print twice as much "with sparsity") and, on GeForce, those with float32 accumulation.
GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        # NVIDIA H100 and H200 data sheets: SXM 1,979 TFLOP/s in bfloat16 with sparsity, PCIe 1,513.
        Gpu(name="h100", rate=989e12, bandwidth=3.35e12, memory=80e9),
        Gpu(name="h100-pcie", rate=756e12, bandwidth=2.0e12, memory=80e9),
        Gpu(name="h200", rate=989e12, bandwidth=4.8e12, memory=141e9),
        # NVIDIA A100 data sheet, SXM: 312 TFLOP/s.
        Gpu(name="a100-80gb", rate=312e12, bandwidth=2.039e12, memory=80e9),
        Gpu(name="a100-40gb", rate=312e12, bandwidth=1.555e12, memory=40e9),
        # NVIDIA L40S data sheet: 362 | 733 with sparsity; NVIDIA L4 data sheet: 242 with sparsity.
        Gpu(name="l40s", rate=362e12, bandwidth=864e9, memory=48e9),
        Gpu(name="l4", rate=121e12, bandwidth=300e9, memory=24e9),
        # NVIDIA A10 data sheet: 125 TFLOP/s.
        Gpu(name="a10", rate=125e12, bandwidth=600e9, memory=24e9),
        # NVIDIA Ada and Ampere GA102 architecture white papers, their tables of GeForce RTX 4090 and 3090.
        Gpu(name="rtx4090", rate=165e12, bandwidth=1.008e12, memory=24e9),
        Gpu(name="rtx3090", rate=71e12, bandwidth=936e9, memory=24e9),
        # NVIDIA T4 data sheet: 65 TFLOP/s in float16; Turing's tensor cores have no bfloat16.
        Gpu(name="t4", rate=65e12, bandwidth=320e9, memory=16e9, bfloat16=False),
    )
}


def find_gpu(text: str) -> Gpu:
    """Return the card named ``h100``, or several of it, ``4xh100``. Raises `UsageError` for one that is not known."""
    several = re.match(r"([1-9][0-9]?)x", text)
    name = text[several.end() :] if several else text
    if name not in GPUS:
        raise UsageError(f"--gpu {text}: no card is known by this name{suggestion(name, GPUS)}; 4xh100 is four of one")
    return replace(GPUS[name], count=int(several[1]) if several else 1)


@dataclass(frozen=True)
class OnGpu:
    """What a stage of a model would take on a card.

    ``seconds`` are those for answers of `ANSWER_TOKENS`, ``most_seconds`` for answers that all run into their limit;
    ``memory`` is in bytes, on each card that the model is spread over, and ``fits`` says whether the card has as much:
    without, it takes no time.
    """

    model: str
    seconds: float
    most_seconds: float
    memory: float
    fits: bool


@dataclass(frozen=True)
class _Prompts:
    """Prompts: how many, their tokens on average and at most, and how many an answer may have."""

    count: float
    mean: float
    longest: float
    limit: int

    def answer(self, most: int) -> int:
        return min(self.limit, most)


@dataclass(frozen=True)
class _Examples:
    """What a training goes over: its prompts and their answers, ``sides`` of each, so many in all, in so many steps.

    A sequence has at most ``cut`` tokens; ``forward`` are examples that go through without a way back.
    """

    prompts: _Prompts
    sides: int
    gone_over: float
    steps: float
    cut: float
    forward: float = 0.0

    def tokens(self, most: int) -> float:
        return self.sides * min(self.cut, self.prompts.mean + self.prompts.answer(most))

    def longest(self) -> float:
        return self.sides * min(self.cut, self.prompts.longest + self.prompts.limit)


_NO_LIMIT = 1 << 30


class GpuPlan:
    """What the stages of a plan would take on a card."""

    def __init__(self, plan: Plan, gpu: Gpu) -> None:
        self.plan, self.gpu = plan, gpu
        self._read: dict[tuple[int, Prompting], tuple[float, float, int]] = {}
        self._footprints: dict[tuple[int, Settings], Footprint | None] = {}

    def stage(self, stage: Stage, made: Mapping[str, Artifact], pairs: int = 0) -> OnGpu | None:
        """Return what a stage would take; None where nothing is known of its model, or the model does nothing in it.

        ``made`` are the stored artifacts by key; a refining has so many ``pairs``.
        """
        if not isinstance(stage, (Annotate, Instruct, Sample, Refine, Explore, Evaluate)):
            return None
        found = self.footprint(stage)
        if found is None:
            return None
        if isinstance(stage, (Annotate, Sample, Evaluate)):
            return self._answering(found, self._asked(stage))
        training = found.training.get(stage.name)
        if training is None:
            return None
        if isinstance(stage, Explore):
            asked = self._prompts(stage.questions, ("cot",), stage.settings.max_new_tokens, stage.prompts())
            work = _Examples(asked, 1, asked.count, stage.settings.steps, _NO_LIMIT, forward=asked.count)
            # Its answers are written by the model that trains.
            written, trained = self._answering(found, asked), self._training(found, training, work)
            return replace(
                trained,
                seconds=trained.seconds + written.seconds,
                most_seconds=trained.most_seconds + written.most_seconds,
                fits=trained.fits and written.fits,
            )
        examples = self._instructed(stage, made) if isinstance(stage, Instruct) else self._refined(stage, pairs)
        return self._training(found, training, examples) if examples.prompts.count else None

    def footprint(self, stage: Stage) -> Footprint | None:
        """Return that of the model that a stage keeps loaded; None where it has none that is known."""
        for part in stage.components[:1]:
            if isinstance(part.made, LocalModel):
                settings = self._settings(stage, part.spec)
                key = (id(part.made), settings)
                if key not in self._footprints:
                    with part.calling("footprint"):
                        self._footprints[key] = part.made.footprint(settings)
                return self._footprints[key]
        return None

    def unknown(self, stage: Stage) -> list[str]:
        """Return the SPECs of models that run on this machine, in this stage, and whose size is not known."""
        parts = [part for part in stage.components[:1] if isinstance(part.made, LocalModel)]
        return [part.spec for part in parts if self.footprint(stage) is None]

    def _settings(self, stage: Stage, spec: str) -> Settings:
        strategy = stage.strategy.spec if isinstance(stage, (Refine, Explore)) else self.plan.strategies[0].spec
        return self.plan.settings.get((spec, strategy)) or next(iter(self.plan.settings.values()))

    def _asked(self, stage: Annotate | Sample | Evaluate) -> _Prompts:
        promptings: Sequence[Prompting] = (stage.prompting,) if isinstance(stage, Annotate) else PROMPTINGS
        # Every question may be asked again with a hint.
        hints = len(stage.questions.questions) if isinstance(stage, Sample) and stage.settings.hints else 0
        return self._prompts([stage.questions], promptings, stage.settings.max_new_tokens, stage.prompts() + hints)

    def _prompts(
        self, sources: Iterable[QuestionSet], promptings: Sequence[Prompting], limit: int, count: float
    ) -> _Prompts:
        read = [self._letters(source, prompting) for source in sources for prompting in promptings]
        questions = sum(number for _, _, number in read)
        mean = sum(letters for letters, _, _ in read) / max(1, questions) / LETTERS
        return _Prompts(count, mean, max((longest for _, longest, _ in read), default=0.0) / LETTERS, limit)

    def _letters(self, source: QuestionSet, prompting: Prompting) -> tuple[float, float, int]:
        """Return the letters of all prompts, of the longest, and how many prompts there are."""
        key = (id(source), prompting)
        if key not in self._read:
            lengths = [len(question.prompt(prompting)) for question in source.questions]
            self._read[key] = (float(sum(lengths)), float(max(lengths, default=0)), len(lengths))
        return self._read[key]

    def _instructed(self, stage: Instruct, made: Mapping[str, Artifact]) -> _Examples:
        annotated = [(node, node.stage) for node in stage.demonstrations if isinstance(node.stage, Annotate)]
        kept = "right" if stage.taken.keep == "right" else "answered"
        # Of a teacher that has not answered yet every question may become one.
        count = sum(int(made[node.key].info[kept]) if node.key in made else one.prompts() for node, one in annotated)
        count = round(count * (1.0 if stage.share is None else stage.share.fraction))
        limit = annotated[0][1].settings.max_new_tokens if annotated else 0
        prompts = self._prompts([one.questions for _, one in annotated], ("cot",), limit, count)
        a_pass = math.ceil(count / stage.settings.batch_size)
        steps = min(filter(None, (stage.settings.epochs * a_pass, float(stage.settings.max_steps))), default=0.0)
        return _Examples(prompts, 1, steps / max(1, a_pass) * count, steps, stage.settings.max_length)

    def _refined(self, stage: Refine, pairs: int) -> _Examples:
        paired, settings = stage.paired.stage, stage.settings
        sources = paired.questions if isinstance(paired, Pair) else ()
        limits = [one.settings.max_new_tokens for one in self._sampled(paired)]
        prompts = self._prompts(sources, ("cot",), max(limits, default=0), pairs)
        held_out = round(settings.validation * pairs)
        a_pass = math.ceil(max(1, pairs - held_out) / settings.batch_size)
        steps = stage.passes(pairs) * a_pass
        # The reference's log-probabilities of all pairs, once, and those held out at every validation.
        forward = pairs + held_out * steps / settings.eval_steps
        return _Examples(prompts, 2, steps / a_pass * (pairs - held_out), steps, settings.max_length, forward)

    @staticmethod
    def _sampled(paired: Stage) -> list[Sample]:
        return [node.stage for node in getattr(paired, "sampled", ()) if isinstance(node.stage, Sample)]

    def _cards(self, found: Footprint | Training) -> int:
        """Return over how many of the cards the weights are spread."""
        return min(self.gpu.count, found.spread or self.gpu.count)

    def _training(self, found: Footprint, training: Training, work: _Examples) -> OnGpu:
        """Return what a training takes, with as many examples at once as fit."""
        gpu, cards = self.gpu, self._cards(training)
        example = training.token * work.longest()
        room = cards * (gpu.memory - found.overhead) - training.held
        at_once = max(1, min(training.at_once, int(room / example)))

        def seconds(most: int) -> float:
            rate, tokens = gpu.rate * training.share, work.tokens(most)
            computing = training.operations * work.gone_over * tokens / rate
            waiting = max(work.steps, work.gone_over / at_once) * training.pass_seconds
            forward = found.operations * work.forward * tokens / rate
            # Cards that hold a part of the layers each work one after the other; processes share the examples.
            return (max(computing, waiting) + forward) / min(gpu.count, training.processes)

        memory = found.overhead + (training.held + at_once * example) / cards
        return self._found(found, seconds, memory, fits=room >= example)

    def _answering(self, found: Footprint, asked: _Prompts) -> OnGpu:
        """Return what answering takes. Prompts are read at the rate of products; answers are written a token of every
        row at a time, for which all weights and all caches are read."""
        gpu, cards = self.gpu, self._cards(found)
        row = found.cache * (asked.longest + asked.limit) + found.row
        room = cards * (gpu.memory - found.overhead) - found.answering
        rows = max(1, min(MOST_ROWS, int(asked.count), int(room * found.row_share / row)))
        # Cards that hold a part of the layers each work one after the other.
        workers = cards if found.parallel else 1

        def seconds(most: int) -> float:
            answer, rate = asked.answer(most), gpu.rate * found.share * workers
            reading = asked.count * asked.mean * found.operations / rate
            held = found.read + rows * found.cache * (asked.mean + answer / 2)
            step = max(
                found.pass_seconds,
                held / (gpu.bandwidth * found.bandwidth_share * workers),
                rows * found.operations / rate,
            )
            return reading + asked.count * answer / rows * step

        memory = found.overhead + (found.answering + rows * row) / cards
        return self._found(found, seconds, memory, fits=room >= row)

    @staticmethod
    def _found(found: Footprint, seconds: Callable[[int], float], memory: float, *, fits: bool) -> OnGpu:
        likely, most = (seconds(ANSWER_TOKENS), seconds(_NO_LIMIT)) if fits else (0.0, 0.0)
        return OnGpu(found.model, likely, most, memory, fits)


def misfits(found: Iterable[tuple[str, OnGpu]], gpu: Gpu) -> list[str]:
    """Return a sentence for each model that does not fit, from the names of stages and what they take."""
    too_large: dict[str, dict[str, float]] = {}
    for stage, one in found:
        if not one.fits:
            stages = too_large.setdefault(one.model, {})
            stages[stage] = max(one.memory, stages.get(stage, 0.0))
    return [
        f"{model} does not fit {gpu.title}, which has {gpu.memory / 1e9:.0f} GB"
        f"{' each' if gpu.count > 1 else ''}: about "
        + ", ".join(f"{memory / 1e9:.0f} GB to {stage}" for stage, memory in stages.items())
        + " (docs/large-models.md says what helps)"
        for model, stages in too_large.items()
    ]


def here_misfits(plan: Plan, is_stored: Callable[[Node], bool]) -> list[str]:
    """Return a sentence for each model that does not fit the GPUs of this machine, in stages that are to run.

    There is none where there are no GPUs; only then is asked what ``is_stored``.
    """
    gpus: dict[str, GpuPlan] = {}
    parts: tuple[Component[Any], ...] = (*plan.teachers, *plan.students)
    for part in parts:
        if isinstance(part.made, LocalModel):
            with part.calling("gpu_memory"):
                memory = part.made.gpu_memory()
            if memory:
                # Only what fits is asked for, and the rates have no part in that.
                gpu = Gpu(name="this GPU", rate=1.0, bandwidth=1.0, memory=min(memory), count=len(memory))
                gpus[str(part)] = GpuPlan(plan, gpu)
    said = dict[str, None]()
    for name, one in gpus.items():
        nodes = [node for node in plan.nodes if name in map(str, node.stage.components[:1]) and not is_stored(node)]
        found = [(node.stage.name, one.stage(node.stage, {}, _expected_pairs(node.stage))) for node in nodes]
        said |= dict.fromkeys(misfits([(name, stage) for name, stage in found if stage is not None], one.gpu))
    return list(said)


def _expected_pairs(stage: Stage) -> int:
    return stage.expected_pairs() if isinstance(stage, Refine) else 0
