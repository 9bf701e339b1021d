"""The settings of each stage: what ``--set stage.key=value`` may say, with the paper's values as defaults.

A student may recommend its own over these; ``--set`` beats both. Where the paper is silent the choice is noted.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from sitkit.errors import SettingError, suggestion
from sitkit.validation import annotated_fields, extra, read_value, shown

InKey = Literal["always", "changed", "never"]
"""Whether a setting enters the key of what a stage makes.

"changed": only where it is not the default, so that a setting that is new moves no key of what was made before there
was one. "never": it changes nothing of what is made.
"""


def key_material(settings: Any) -> dict[str, Any]:
    """Return what of a stage's settings enters the key of what it makes (`InKey`)."""
    found = {}
    for name, kind in annotated_fields(type(settings)).items():
        value, in_key = getattr(settings, name), extra(kind, "in_key", "always")
        if in_key == "always" or (in_key == "changed" and value != getattr(type(settings), name)):
            found[name] = value
    return found


Match = Literal["final", "contains"]
_MATCHES = "final: the final answer is the target; contains: the paper's literal string containment"

_NEVER = {"in_key": "never"}
_CHANGED = {"in_key": "changed"}


@dataclass(frozen=True, kw_only=True)
class AnnotateSettings:
    """How the teacher answers (Appendix C.2)."""

    temperature: Annotated[float, Meta(ge=0, le=10, description="sampling temperature of the teacher; 0 is greedy")] = (
        0.7
    )
    top_p: Annotated[
        float,
        Meta(gt=0, le=1, description="sample from the likeliest tokens that make up this probability", extra=_CHANGED),
    ] = 1.0
    max_new_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 512
    seed: Annotated[
        int, Meta(ge=0, description="seed of the teacher, apart from the run's: seeds share one set of demonstrations")
    ] = 0
    max_failures: Annotated[
        float,
        Meta(ge=0, le=1, description="share of the replies that may fail before the run stops", extra=_NEVER),
    ] = 0.1
    keep: Annotated[
        Literal["right", "all"],
        # No part of the teacher's answers; the stages that choose among them hold it themselves.
        Meta(description="which demonstrations are trained on: those that reach the target", extra=_NEVER),
    ] = "right"
    reasoning: Annotated[
        Literal["drop", "keep"],
        Meta(
            description="what a teacher thought aloud before its answer: leave it out, or train on it too", extra=_NEVER
        ),
    ] = "drop"
    # No part of the answers either, which are asked for once and judged either way: `Annotate.material` adds it.
    match: Annotated[Match, Meta(description=f"how the teacher's answers are judged; {_MATCHES}", extra=_NEVER)] = (
        "final"
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """What all training has in common."""

    learning_rate: Annotated[float, Meta(gt=0, le=1, description="peak learning rate")] = 2e-5
    optim: Annotated[
        str,
        Meta(description="optimiser, by transformers' name (adamw_torch_fused, rmsprop, …)", extra=_CHANGED),
    ] = "adamw_torch_fused"
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="the optimiser's weight decay")] = 1e-4
    scheduler: Annotated[
        str, Meta(description="learning-rate schedule, by transformers' name (cosine, constant, linear, …)")
    ] = "cosine"
    warmup: Annotated[
        float, Meta(ge=0, description="warm-up: a share of all steps if below 1, else a number of steps")
    ] = 0.03
    micro_batch_size: Annotated[
        int, Meta(ge=0, description="examples per forward pass; 0 picks it, and halves it when memory runs out")
    ] = 0
    gradient_checkpointing: Annotated[bool, Meta(description="trade time for memory")] = False
    save_steps: Annotated[
        int, Meta(ge=1, description="a checkpoint to go on from after a kill, every so many steps", extra=_NEVER)
    ] = 50
    report_to: Annotated[
        str,
        Meta(description="trackers that get the curves, by transformers' names, comma-separated", extra=_NEVER),
    ] = "none"


@dataclass(frozen=True, kw_only=True)
class TrainSettings(OptimizerSettings):
    """What instruct and refine have in common."""

    batch_size: Annotated[int, Meta(ge=1, description="examples per optimiser step")] = 128
    max_steps: Annotated[int, Meta(ge=0, description="stop after this many optimiser steps; 0 is no limit")] = 0
    max_length: Annotated[
        int, Meta(ge=8, description="longest prompt and completion, in tokens; longer ones are cut at the end")
    ] = 1024
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="processes to train with, one a GPU; the batch size stays that of a step, shared by all",
        ),
    ] = 1
    fast: Annotated[
        bool,
        Meta(
            description="leave padding, and a pair's second prompt, out of the forward pass; false: TRL's own",
            extra=_CHANGED,
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class InstructSettings(TrainSettings):
    """Instruction-tuning (section 3.2.1).

    The paper states neither the batch size nor LoRA's shape. Rank 64, scale 16 and every linear layer are QLoRA's
    (Dettmers et al. 2023, appendix B.2), and so is nf4 with double quantisation. For 7B and 13B QLoRA has a batch size
    of 16, dropout 0.1 and a constant learning rate of 2e-4; here they are 128, 0.05 (QLoRA's for 33B and 65B) and the
    paper's 2e-5 on a cosine.
    """

    epochs: Annotated[float, Meta(gt=0, description="passes over the demonstrations")] = 4.0
    lora_r: Annotated[int, Meta(ge=1, description="LoRA rank")] = 64
    lora_alpha: Annotated[int, Meta(ge=1, description="LoRA scale")] = 16
    lora_dropout: Annotated[float, Meta(ge=0, le=0.99, description="LoRA dropout")] = 0.05
    packing: Annotated[
        bool, Meta(description="pack short examples into one sequence (TRL's bfd packing; needs flash attention)")
    ] = False


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How the instructed student answers its training questions (Appendix C.2)."""

    temperature: Annotated[float, Meta(ge=0, le=10, description="sampling temperature; 0 is greedy")] = 0.1
    top_p: Annotated[
        float,
        Meta(gt=0, le=1, description="sample from the likeliest tokens that make up this probability", extra=_CHANGED),
    ] = 1.0
    top_k: Annotated[
        int, Meta(ge=0, description="sample from so many of the likeliest tokens; 0: from all", extra=_CHANGED)
    ] = 0
    max_new_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 512
    samples: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="answers drawn to each question and prompting, each with its own noise",
            extra=_CHANGED,
        ),
    ] = 1
    hints: Annotated[
        bool,
        Meta(description="ask once more, with the target as a hint, where no answer with CoT is right", extra=_CHANGED),
    ] = False


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """How answers are judged when pairs are chosen, and which questions are paired."""

    match: Annotated[Match, Meta(description=_MATCHES)] = "final"
    without_demonstration: Annotated[
        Literal["use", "leave_out"],
        Meta(
            description="questions whose demonstration was not kept: use them where the student is right, or leave_out",
            extra=_CHANGED,
        ),
    ] = "use"


@dataclass(frozen=True, kw_only=True)
class RefineSettings(TrainSettings):
    """Preference optimisation (section 3.2.1)."""

    learning_rate: Annotated[float, Meta(gt=0, le=1, description="peak learning rate")] = 1e-6
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="the optimiser's weight decay")] = 0.0
    scheduler: Annotated[
        str, Meta(description="learning-rate schedule, by transformers' name (cosine, constant, linear, …)")
    ] = "linear"
    warmup: Annotated[
        float, Meta(ge=0, description="warm-up: a share of all steps if below 1, else a number of steps")
    ] = 100.0
    max_steps: Annotated[int, Meta(ge=0, description="stop after this many optimiser steps; 0 is no limit")] = 1000
    epochs: Annotated[float, Meta(ge=0, description="passes over the pairs; 0 leaves it to max_steps")] = 0.0
    validation: Annotated[
        float, Meta(ge=0, le=0.9, description="share of the questions with pairs held out to pick the best checkpoint")
    ] = 0.1
    eval_steps: Annotated[int, Meta(ge=1, description="validation loss is taken every so many steps")] = 50
    patience: Annotated[
        int,
        Meta(
            ge=0,
            description="stop once so many validations in a row bring no lower loss; 0 never does",
            extra=_CHANGED,
        ),
    ] = 0
    loss: Annotated[
        str | None, Meta(description="TRL loss names joined by +, e.g. sigmoid+sft; default: the strategy's")
    ] = None
    weights: Annotated[
        str | None, Meta(description="weights of the losses joined by +, e.g. 1+0.2; default: 1 each")
    ] = None
    beta: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="DPO's beta; default: the strategy's")] = None
    rounds: Annotated[
        int,
        Meta(ge=1, le=100, description="sample from the latest student, pair and refine so many times", extra=_NEVER),
    ] = 1
    score_rounds: Annotated[
        bool, Meta(description="score the student after each round, and not only after the last", extra=_NEVER)
    ] = False
    watch: Annotated[
        int,
        Meta(
            ge=0,
            description="training questions kept out of refining and answered before and after, to warn of a collapse",
            extra=_CHANGED,
        ),
    ] = 0
    label_smoothing: Annotated[
        float,
        Meta(
            ge=0,
            lt=0.5,
            description="share of pairs that may be the wrong way round, for the losses robust and exo_pair",
            extra=_CHANGED,
        ),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ExploreSettings(OptimizerSettings):
    """Learning from answers that the student writes meanwhile, in place of pairs (strategies grpo and gkd).

    The learning rate, beta and the temperature are those of GRPO's source (Shao et al. 2024, arXiv 2402.03300, section
    4.1.2), which has 16 questions a step of 64 samples each; 8 samples are TRL's.
    """

    learning_rate: Annotated[float, Meta(gt=0, le=1, description="peak learning rate")] = 1e-6
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="the optimiser's weight decay")] = 0.0
    scheduler: Annotated[
        str, Meta(description="learning-rate schedule, by transformers' name (cosine, constant, linear, …)")
    ] = "constant_with_warmup"
    steps: Annotated[int, Meta(ge=1, description="optimiser steps, each on new answers")] = 100
    prompts: Annotated[int, Meta(ge=1, le=100_000, description="questions per optimiser step")] = 16
    samples: Annotated[
        int, Meta(ge=1, le=1000, description="answers drawn to each of them; grpo needs 2 or more, to compare them")
    ] = 8
    temperature: Annotated[float, Meta(gt=0, le=10, description="sampling temperature")] = 1.0
    max_new_tokens: Annotated[
        int, Meta(ge=1, description="longest answer, in tokens; one that is cut there is wrong")
    ] = 512
    beta: Annotated[
        float, Meta(ge=0, description="grpo: weight of the KL divergence from the student it starts from; 0: none")
    ] = 0.04
    loss: Annotated[
        Literal["dapo", "grpo", "dr_grpo", "bnpo"],
        Meta(description="grpo: how tokens are averaged, by TRL's name; grpo is the source's, dapo TRL's own choice"),
    ] = "dapo"


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How a phase is scored. The paper's 0.1 is greedy but for noise; greedy is the default."""

    temperature: Annotated[float, Meta(ge=0, le=10, description="sampling temperature; 0 is greedy")] = 0.0
    max_new_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 512
    match: Annotated[Match, Meta(description=_MATCHES, extra=_CHANGED)] = "final"
    samples: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="answers drawn to each question besides, for pass@k, majority vote and their mean; 0: none",
            extra=_CHANGED,
        ),
    ] = 0
    sample_temperature: Annotated[
        float, Meta(gt=0, le=10, description="the temperature at which evaluate.samples are drawn", extra=_CHANGED)
    ] = 0.8


TRAIN = "train"
"""The section that stands for instruct and refine both, as in ``--set train.processes=4``."""

STAGE_SETTINGS: dict[str, type[Any]] = {
    "annotate": AnnotateSettings,
    "instruct": InstructSettings,
    "sample": SampleSettings,
    "pair": PairSettings,
    "refine": RefineSettings,
    "explore": ExploreSettings,
    "evaluate": EvaluateSettings,
}


_TRAINING = ("instruct", "refine")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every stage, resolved."""

    annotate: AnnotateSettings = AnnotateSettings()
    instruct: InstructSettings = InstructSettings()
    sample: SampleSettings = SampleSettings()
    pair: PairSettings = PairSettings()
    refine: RefineSettings = RefineSettings()
    explore: ExploreSettings = ExploreSettings()
    evaluate: EvaluateSettings = EvaluateSettings()


def resolve(*layers: Mapping[str, Mapping[str, object]]) -> Settings:
    """Lay mappings of stage -> key -> value over the defaults, later ones on top; text is read by the field's type.

    The section "train" stands for instruct and refine both; within a mapping, what those say themselves beats it.
    Raises `SettingError` for an unknown stage or key (the nearest is suggested) and for a value out of range.
    """
    values: dict[str, dict[str, Any]] = {stage: {} for stage in STAGE_SETTINGS}
    for layer in layers:
        for stage, keys in spread(layer).items():
            values[stage].update(keys)
    return Settings(**{stage: STAGE_SETTINGS[stage](**keys) for stage, keys in values.items()})


def spread(layer: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    """Return a mapping of stage -> key -> value, read, with what "train" says written out under instruct and refine.

    For laying one mapping over another by stage and key. Raises `SettingError` as `resolve` does, and for a key of
    "train" that instruct and refine do not share.
    """
    read = {
        stage: {str(key): read_setting(stage, str(key), value) for key, value in _keys(stage, keys).items()}
        for stage, keys in layer.items()
    }
    shared = read.pop(TRAIN, {})
    for stage in _TRAINING if shared else ():
        read[stage] = {**shared, **read.get(stage, {})}
    return read


def _keys(stage: str, keys: object) -> Mapping[str, object]:
    setting_types(stage)
    if not isinstance(keys, Mapping):
        raise SettingError(f"the settings of {shown(stage)} must be key: value, got {shown(keys)}")
    return keys


def read_setting(stage: str, key: str, value: object) -> Any:
    """Return the value in the type of the setting. Raises `SettingError` if there is no such key or it cannot be."""
    fields = setting_types(stage)
    if key not in fields:
        raise SettingError(f"{stage} has no setting {shown(key)!r}{suggestion(key, fields)}")
    try:
        return read_value(fields[key], value, text=True)
    except ValueError as error:
        raise SettingError(f"{stage}.{key}={shown(value)}: {error}") from error


@functools.cache
def setting_types(stage: str) -> Mapping[str, Any]:
    """Return the annotated type of every setting of a stage, or of "train". Raises `SettingError` for another name."""
    known: dict[str, type[Any]] = {TRAIN: TrainSettings, **STAGE_SETTINGS}
    if stage not in known:
        raise SettingError(f"no stage is called {shown(stage)!r}{suggestion(stage, known)}")
    return annotated_fields(known[stage])
