"""The settings of each stage: what ``--set stage.key=value`` may say, with the paper's values as defaults.

A student may recommend its own over these; ``--set`` beats both. Where the paper is silent the choice is noted.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sitkit.errors import SettingError, suggestion
from sitkit.spec import boolean

InKey = Literal["always", "changed", "never"]
"""Whether a setting enters the key of what a stage makes.

"changed": only where it is not the default, so that a setting that is new moves no key of what was made before there
was one. "never": it changes nothing of what is made.
"""


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    in_key: InKey = "always",
) -> Any:
    """Return a dataclass field with its sentence of documentation and the range its value must lie in."""
    metadata = {"doc": doc, "low": low, "high": high, "above": above, "in_key": in_key}
    return dataclasses.field(default=default, metadata=metadata)


def key_material(settings: Any) -> dict[str, Any]:
    """Return what of a stage's settings, a dataclass of `setting` fields, enters the key of what it makes (`InKey`)."""
    return {
        field.name: value
        for field in dataclasses.fields(settings)
        for value in [getattr(settings, field.name)]
        if field.metadata["in_key"] == "always" or (field.metadata["in_key"] == "changed" and value != field.default)
    }


@dataclass(frozen=True, kw_only=True)
class AnnotateSettings:
    """How the teacher answers (Appendix C.2)."""

    temperature: float = setting(0.7, "sampling temperature of the teacher; 0 is greedy", low=0, high=10)
    max_new_tokens: int = setting(512, "longest answer, in tokens", low=1)
    seed: int = setting(0, "seed of the teacher, apart from the run's: seeds share one set of demonstrations", low=0)
    max_failures: float = setting(
        0.1, "share of the replies that may fail before the run stops", low=0, high=1, in_key="never"
    )
    keep: Literal["right", "all"] = setting(
        "right", "which demonstrations are trained on: those that reach the target", in_key="never"
    )
    """No part of the teacher's answers; the stages that choose among them hold it themselves."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What instruct and refine have in common."""

    learning_rate: float = setting(2e-5, "peak learning rate", above=0, high=1)
    weight_decay: float = setting(1e-4, "AdamW's weight decay", low=0, high=1)
    scheduler: str = setting("cosine", "learning-rate schedule, by transformers' name (cosine, constant, linear, …)")
    warmup: float = setting(0.03, "warm-up: a share of all steps if below 1, else a number of steps", low=0)
    batch_size: int = setting(128, "examples per optimiser step", low=1)
    micro_batch_size: int = setting(
        0, "examples per forward pass; 0 picks it, and halves it when memory runs out", low=0
    )
    max_steps: int = setting(0, "stop after this many optimiser steps; 0 is no limit", low=0)
    max_length: int = setting(1024, "longest prompt and completion, in tokens; longer ones are cut at the end", low=8)
    gradient_checkpointing: bool = setting(False, "trade time for memory")
    save_steps: int = setting(50, "a checkpoint to go on from after a kill, every so many steps", low=1, in_key="never")
    processes: int = setting(
        1, "processes to train with, one a GPU; the batch size stays that of a step, shared by all", low=1, high=64
    )
    report_to: str = setting(
        "none", "trackers that get the curves, by transformers' names: tensorboard,wandb,trackio", in_key="never"
    )
    fast: bool = setting(
        True, "leave padding, and a pair's second prompt, out of the forward pass; false: TRL's own", in_key="changed"
    )


@dataclass(frozen=True, kw_only=True)
class InstructSettings(TrainSettings):
    """Instruction-tuning (section 3.2.1). The paper does not state batch size and LoRA's shape: QLoRA's are taken."""

    epochs: float = setting(4.0, "passes over the demonstrations", above=0)
    lora_r: int = setting(64, "LoRA rank", low=1)
    lora_alpha: int = setting(16, "LoRA scale", low=1)
    lora_dropout: float = setting(0.05, "LoRA dropout", low=0, high=0.99)
    packing: bool = setting(False, "pack short examples into one sequence (TRL's bfd packing; needs flash attention)")


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How the instructed student answers its training questions (Appendix C.2)."""

    temperature: float = setting(0.1, "sampling temperature; 0 is greedy", low=0, high=10)
    max_new_tokens: int = setting(512, "longest answer, in tokens", low=1)


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """How answers are judged when pairs are chosen."""

    match: Literal["final", "contains"] = setting(
        "final", "final: the final answer is the target; contains: the paper's literal string containment"
    )


@dataclass(frozen=True, kw_only=True)
class RefineSettings(TrainSettings):
    """Preference optimisation (section 3.2.1)."""

    learning_rate: float = setting(1e-6, "peak learning rate", above=0, high=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay", low=0, high=1)
    scheduler: str = setting("linear", "learning-rate schedule, by transformers' name (cosine, constant, linear, …)")
    warmup: float = setting(100.0, "warm-up: a share of all steps if below 1, else a number of steps", low=0)
    max_steps: int = setting(1000, "stop after this many optimiser steps; 0 is no limit", low=0)
    epochs: float = setting(0.0, "passes over the pairs; 0 leaves it to max_steps", low=0)
    validation: float = setting(
        0.1, "share of the training pairs held out to pick the best checkpoint", low=0, high=0.9
    )
    eval_steps: int = setting(50, "validation loss is taken every so many steps", low=1)
    loss: str | None = setting(None, "TRL loss names joined by +, e.g. sigmoid+sft; default: the strategy's")
    weights: str | None = setting(None, "weights of the losses joined by +, e.g. 1+0.2; default: 1 each")
    beta: float | None = setting(None, "DPO's beta; default: the strategy's", above=0)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How a phase is scored. The paper's 0.1 is greedy but for noise; greedy is the default."""

    temperature: float = setting(0.0, "sampling temperature; 0 is greedy", low=0, high=10)
    max_new_tokens: int = setting(512, "longest answer, in tokens", low=1)


TRAIN = "train"
"""The section that stands for instruct and refine both, as in ``--set train.processes=4``."""

STAGE_SETTINGS: dict[str, type[Any]] = {
    "annotate": AnnotateSettings,
    "instruct": InstructSettings,
    "sample": SampleSettings,
    "pair": PairSettings,
    "refine": RefineSettings,
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
    evaluate: EvaluateSettings = EvaluateSettings()


def resolve(*layers: Mapping[str, Mapping[str, object]]) -> Settings:
    """Lay mappings of stage -> key -> value over the defaults, later ones on top; text is read by the field's type.

    The section "train" stands for instruct and refine both; within a mapping, what those say themselves beats it.
    Raises `SettingError` for an unknown stage or key (the nearest is suggested) and for a value out of range.
    """
    values: dict[str, dict[str, object]] = {stage: {} for stage in STAGE_SETTINGS}
    for layer in layers:
        for stage, keys in spread(layer).items():
            for key, value in keys.items():
                values[stage][key] = read_setting(stage, key, value)
    return Settings(**{stage: STAGE_SETTINGS[stage](**keys) for stage, keys in values.items()})


def spread(layer: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Return a mapping of stage -> key -> value with what "train" says written out under instruct and refine.

    For laying one mapping over another by stage and key. Raises `SettingError` for an unknown stage, and for a key
    that instruct and refine do not share.
    """
    for stage, keys in layer.items():
        if stage not in (*STAGE_SETTINGS, TRAIN):
            raise SettingError(f"no stage is called {stage!r}{suggestion(stage, (*STAGE_SETTINGS, TRAIN))}")
        if not isinstance(keys, Mapping):
            raise SettingError(f"the settings of {stage} must be key: value, got {keys!r}")
    shared = {str(key): value for key, value in layer.get(TRAIN, {}).items()}
    for key, value in shared.items():
        read_setting(TRAIN, key, value)
    written = {stage: dict(shared) for stage in _TRAINING} if shared else {}
    for stage, keys in layer.items():
        if stage != TRAIN:
            written[stage] = {**written.get(stage, {}), **{str(key): value for key, value in keys.items()}}
    return written


def read_setting(stage: str, key: str, value: object) -> object:
    """Return the value in the type of the setting. Raises `SettingError` if there is no such key or it cannot be."""
    settings = TrainSettings if stage == TRAIN else STAGE_SETTINGS[stage]
    fields = {field.name: field for field in dataclasses.fields(settings)}
    if key not in fields:
        raise SettingError(f"{stage} has no setting {key!r}{suggestion(key, fields)}")
    where = f"{stage}.{key}={value}"
    kind = typing.get_type_hints(settings)[key]
    try:
        read = _convert(kind, value)
    except ValueError as error:
        raise SettingError(f"{where}: {error}") from error
    _check_range(where, read, fields[key].metadata)
    return read


def _convert(kind: Any, value: object) -> object:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None or value == "none":
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
        origin = typing.get_origin(kind)
    if origin is Literal:
        words = typing.get_args(kind)
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value
    if kind is bool:
        return value if isinstance(value, bool) else boolean(str(value))
    if isinstance(value, bool) or value is None:
        raise ValueError(f"expected {_WORDS[kind]}")
    try:
        number = kind(str(value)) if kind is not int else _integer(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected {_WORDS[kind]}") from error
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"expected {_WORDS[kind]}")
    return number


_WORDS = {int: "a whole number", float: "a number", str: "text"}


def _integer(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(str(value))


def _check_range(where: str, value: object, limits: Mapping[str, Any]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if limits["low"] is not None and value < limits["low"]:
        raise SettingError(f"{where}: must be at least {limits['low']}")
    if limits["above"] is not None and value <= limits["above"]:
        raise SettingError(f"{where}: must be above {limits['above']}")
    if limits["high"] is not None and value > limits["high"]:
        raise SettingError(f"{where}: must be at most {limits['high']}")
