"""What instruction-tuning and refining have in common: arguments, batches that fit, resuming, reporting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from sitkit.errors import ModelError, SettingError, suggestion
from sitkit.plugin_support import tell_loss
from sitkit.settings import TrainSettings
from sitkit.types import Progress, TrainingReport
from sitkit_hf import checkpoints
from sitkit_hf.adapters import is_first_process
from sitkit_hf.checkpoints import disk_errors
from sitkit_hf.loading import Models
from sitkit_hf.memory import MemoryRanOutError, first_guess, free_memory, out_of_memory, training_rows
from sitkit_hf.prompts import Examples
from sitkit_hf.report_to import reporting, tracking

T = TypeVar("T")

OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "adagrad", "rmsprop", "sgd")
"""transformers' optimisers that need nothing but torch, …"""

BNB_OPTIMIZERS = ("adamw_bnb_8bit", "lion_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "rmsprop_bnb_8bit")
"""… and those that bitsandbytes brings."""

SCHEDULERS = (
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)
"""transformers' schedules that need nothing but the number of steps and of warm-up steps."""

CURVE_ROWS = 500
"""About so many rows a training's curve has at most."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: on what, how, from where and to where. ``eval_steps`` 0: nothing is held out.

    ``patience`` is how many validations without a lower loss end the training; 0: none does. ``dropout``: the adapter
    drops some of its input.
    """

    stage: str
    models: Models
    settings: TrainSettings
    epochs: float
    out: Path
    scratch: Path
    seed: int
    progress: Progress
    eval_steps: int = 0
    patience: int = 0
    label_smoothing: float = 0.0
    dropout: bool = False

    def max_length(self) -> int:
        """Return the longest sequence, in tokens: the setting, or the model's positions if these are fewer."""
        positions = getattr(self.models.base().config.get_text_config(), "max_position_embeddings", None)
        return min(self.settings.max_length, positions or self.settings.max_length)

    def attention(self) -> str | None:
        """Return the attention to train with where another one than the model's is faster, else nothing.

        On a CPU in bfloat16 the backward of torch's fused attention is slower than plain products; these keep a
        square of the length for every head, so long sequences stay with the fused one.
        """
        plain = self.models.device() == "cpu" and "bfloat16" in str(self.models.dtype()) and self.max_length() <= 512
        return "eager" if plain else None

    def ends(self, state: Any) -> bool:
        """Tell whether the validation loss has not fallen for as long as `patience` allows, by a `TrainerState`."""
        if not self.patience or not self.eval_steps or not state.best_global_step:
            return False
        return bool(state.global_step - state.best_global_step >= self.patience * self.eval_steps)

    def steps(self, examples: int) -> int:
        """Return how many optimiser steps so many examples give: the epochs, ended by max_steps."""
        of_epochs = math.ceil(self.epochs * math.ceil(examples / self.settings.batch_size))
        limits = [steps for steps in (of_epochs, self.settings.max_steps) if steps > 0]
        if not limits:
            raise SettingError(f"{self.stage}.epochs and {self.stage}.max_steps are both 0: one must say when to stop")
        return min(limits)

    def arguments(self, micro: int) -> dict[str, Any]:
        """Return the arguments that SFTConfig and DPOConfig share, for so many examples per forward pass."""
        settings, device, dtype = self.settings, self.models.device(), str(self.models.dtype())
        arguments: dict[str, Any] = {
            "output_dir": str(self.scratch),
            "per_device_train_batch_size": micro,
            "per_device_eval_batch_size": micro,
            "gradient_accumulation_steps": settings.batch_size // (micro * settings.processes),
            "optim": settings.optim,
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "lr_scheduler_type": settings.scheduler,
            # transformers reads a number below 1 as a share of all steps.
            "warmup_steps": settings.warmup if settings.warmup < 1 else int(settings.warmup),
            "gradient_checkpointing": settings.gradient_checkpointing,
            "logging_first_step": True,
            "logging_nan_inf_filter": False,
            "save_strategy": "steps",
            "save_steps": settings.save_steps,
            "save_total_limit": 2,
            "seed": self.seed,
            "data_seed": self.seed,
            "use_cpu": device == "cpu",
            # On a CPU too: PEFT's adapters would else multiply in float32, which takes most of a step's time there.
            "bf16": device != "mps" and dtype == "torch.bfloat16",
            "fp16": device.startswith("cuda") and dtype == "torch.float16",
            **tracking(self.stage, settings, self.out),
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }
        if hasattr(self.models.base().config.get_text_config(), "router_aux_loss_coef"):
            # The router of a mixture of experts stays frozen, so there is nothing to balance.
            arguments["router_aux_loss_coef"] = 0.0
        if settings.processes > 1:
            # A LoRA weight without a gradient would be a bug; looking for such at every step costs time.
            arguments["ddp_find_unused_parameters"] = False
            if device == "cpu":
                arguments["ddp_backend"] = "gloo"
        if self.eval_steps:
            arguments |= {
                "eval_strategy": "steps",
                "eval_steps": self.eval_steps,
                # The best checkpoint can only be one that was saved; the callback adds those of save_steps.
                "save_steps": self.eval_steps,
                "load_best_model_at_end": True,
                "metric_for_best_model": "eval_loss",
                "greater_is_better": False,
                "prediction_loss_only": True,
            }
        return arguments

    def config(self, kind: Callable[..., T], micro: int, **own: Any) -> T:
        """Return a trainer's arguments, an SFTConfig or a DPOConfig: the shared ones, and those of its ``own``."""
        config: Any = kind(**self.arguments(micro), **own)
        # Of several visible GPUs a process trains on one. transformers would spread each batch over copies of the model
        # on all of them, and TRL's trainers refuse to be made for that.
        config._n_gpu = min(1, config.n_gpu)
        return config  # type: ignore[no-any-return]


def check_scheduler(stage: str, settings: TrainSettings) -> None:
    """Raise `SettingError` for a schedule that is unknown or needs more than steps."""
    if settings.scheduler not in SCHEDULERS:
        raise SettingError(
            f"{stage}.scheduler={settings.scheduler}: no such schedule{suggestion(settings.scheduler, SCHEDULERS)}"
        )


def check_optimizer(stage: str, settings: TrainSettings) -> None:
    """Raise `SettingError` for an optimiser that is unknown, or needs what is not installed here."""
    known = (*OPTIMIZERS, *BNB_OPTIMIZERS)
    if settings.optim not in known:
        raise SettingError(f"{stage}.optim={settings.optim}: no such optimiser{suggestion(settings.optim, known)}")
    if settings.optim in BNB_OPTIMIZERS and find_spec("bitsandbytes") is None:
        raise SettingError(f"{stage}.optim={settings.optim} needs bitsandbytes; run: pip install bitsandbytes")


def check_processes(stage: str, settings: TrainSettings) -> None:
    """Raise `SettingError` where a step's examples cannot be shared evenly by the processes."""
    if settings.batch_size % settings.processes:
        raise SettingError(
            f"{stage}.processes={settings.processes}: {stage}.batch_size={settings.batch_size} is not a multiple of it"
        )


def with_batches_that_fit(job: Job, longest: int, attempt: Callable[[int], T]) -> T:
    """Call ``attempt(examples per forward pass)``, with half as many each time memory runs out.

    ``longest`` is the length of the longest example, in tokens.
    The optimiser's batch stays the same through gradient accumulation. Raises `ModelError` if one does not fit, and
    where several processes train `MemoryRanOutError`, because all of them must start again.
    """
    processes = job.settings.processes
    batch = job.settings.batch_size // processes
    micro = _divisor(batch, job.settings.micro_batch_size or _first_guess(job, longest))
    while True:
        try:
            with disk_errors():
                done = attempt(micro)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if micro == 1:
                length = "max_length" if hasattr(job.settings, "max_length") else "max_new_tokens"
                raise ModelError(
                    f"{job.stage}: memory ran out with one example at a time; lower {job.stage}.{length}, or set"
                    f" {job.stage}.gradient_checkpointing=true or quantize=nf4"
                ) from error
            if processes > 1:
                raise MemoryRanOutError(micro) from error
            micro = _divisor(batch, micro // 2)
        else:
            free_memory()
            return done
        free_memory(after_failure=True)


def _first_guess(job: Job, longest: int) -> int:
    model = job.models.base()
    most = first_guess(model.num_parameters())
    if model.device.type != "cpu":
        return most
    return training_rows(model, longest, most, dropout=job.dropout, processes=job.settings.processes)


def _divisor(batch: int, most: int) -> int:
    return next(size for size in range(min(batch, most), 0, -1) if batch % size == 0)


def train(
    job: Job, trainer: Any, trainable: Mapping[str, Any], first_loss: Callable[[float], None] | None = None
) -> None:
    """Run the trainer to its end, from the newest whole checkpoint if there is one.

    ``trainable`` are the adapter's weights as they were before the trainer was made: TRL 1.16 rounds them to bfloat16
    where the base is 4-bit, which swallows steps at small learning rates.
    """
    import torch
    from transformers import PrinterCallback

    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if name in trainable:
                parameter.data = trainable[name].clone()
    total = job.steps(len(trainer.train_dataset))
    trainer.args.max_steps = total
    trainer.args.logging_steps = max(1, total // CURVE_ROWS)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(
        training_callback(
            job.stage,
            job.progress,
            save_steps=job.settings.save_steps,
            evaluates=bool(job.eval_steps),
            ends=job.ends,
            first_loss=first_loss,
        )
    )
    # Of several processes the one that started them has looked.
    alone = job.settings.processes == 1
    checkpoint = checkpoints.newest(job.scratch, job.stage) if alone else checkpoints.latest(job.scratch)
    with reporting(trainer, job.settings):
        if checkpoint is None or not _is_last(job, trainer, checkpoint, total):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _is_last(job: Job, trainer: Any, checkpoint: Path, total: int) -> bool:
    """Whether no step is left after a checkpoint; the trainer then has its weights (or the best ones') and its curve.

    Resumed in the middle of an epoch, transformers (5.23) takes one more step before it looks whether it is done.
    """
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    if state.global_step < total and not job.ends(state):
        return False
    trainer.state = state
    trainer._load_from_checkpoint(str(checkpoint))
    if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
        trainer._load_best_model()
    return True


def trainable_copy(model: Any) -> dict[str, Any]:
    """Return copies of the weights that will be trained, in float32, by name."""
    return {name: p.detach().clone().float() for name, p in model.named_parameters() if p.requires_grad}


def curve(trainer: Any) -> list[dict[str, float]]:
    """Return what the trainer logged, step by step, the same whether or not a kill came between.

    So without its clock and without TRL's num_tokens, which a resumed trainer counts from 0 again; keys in order.
    """
    left_out = ("_runtime", "_per_second", "total_flos", "num_tokens", "step_time")
    rows = []
    for entry in trainer.state.log_history:
        row = {
            key: float(value)
            for key, value in sorted(entry.items())
            if isinstance(value, int | float) and not key.endswith(left_out)
        }
        if "loss" in row or "eval_loss" in row:
            rows.append(row)
    return rows


def training_report(
    job: Job, trainer: Any, examples: Examples, held_out: Examples, micro: int, own: Mapping[str, float], *more: str
) -> TrainingReport:
    """Return the report of a training that is done, with the metrics that are the trainer's ``own``; ``more`` warns."""
    rows, steps = curve(trainer), int(trainer.state.global_step)
    losses = [row["loss"] for row in rows if "loss" in row]
    validation = [row["eval_loss"] for row in rows if "eval_loss" in row]
    metrics = {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "mean_loss": sum(losses) / len(losses),
        **({"validation_loss": min(validation)} if validation else {}),
        **own,
        "best_step": float(trainer.state.best_global_step or steps),
        "tokens": round(examples.tokens * float(trainer.state.epoch)),
        "held_out": len(held_out.rows),
        "cut": examples.cut,
        "left_out": examples.left_out,
        "micro_batch_size": micro,
    }
    warnings = [*examples.warnings(job.stage, job.max_length()), *warmup_warning(job, steps), *more]
    return TrainingReport(steps, metrics, rows, warnings)


def warmup_warning(job: Job, steps: int) -> list[str]:
    """Return a warning if the warm-up is as long as the training."""
    warmup = job.settings.warmup
    if warmup < 1 or steps > warmup:
        return []
    return [
        f"the warm-up never ends: all {steps} steps are warm-up ({job.stage}.warmup={warmup:g}), and the learning rate"
        f" reaches {steps / warmup:.0%} of its peak; lower {job.stage}.warmup"
    ]


def training_callback(
    stage: str,
    progress: Progress,
    *,
    save_steps: int,
    evaluates: bool,
    ends: Callable[[Any], bool],
    first_loss: Callable[[float], None] | None,
) -> Any:
    """Return a TrainerCallback.

    It reports progress, saves and seals a checkpoint every ``save_steps`` steps, evaluates once more at the end where
    there is something to evaluate on, stops where ``ends`` says so of the trainer's state, hands the first step's loss
    to ``first_loss``, and raises `ModelError` when a loss is not a number.
    """
    from transformers import TrainerCallback

    class TrainingCallback(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.best_model_checkpoint:
                # Noted as a path of the run that was killed; its folder may have moved since.
                state.best_model_checkpoint = str(Path(args.output_dir) / Path(state.best_model_checkpoint).name)
            progress(state.global_step, state.max_steps)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            progress(state.global_step, state.max_steps)
            at_end = state.global_step >= state.max_steps
            if at_end or state.global_step % save_steps == 0:
                control.should_save = True
            if evaluates and at_end:
                control.should_evaluate = True
            # A resumed trainer takes its means anew, so what is logged must not reach over a checkpoint.
            control.should_log = control.should_log or control.should_save

        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            seal_together(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            if ends(state):
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(loss):
                raise ModelError(
                    f"the loss of {stage} is {loss} at step {state.global_step}; lower {stage}.learning_rate"
                )
            tell_loss(float(loss))
            if state.global_step == 1 and first_loss is not None:
                first_loss(float(loss))

    return TrainingCallback()


def seal_together(checkpoint: Path) -> None:
    """Seal a checkpoint once every process has written its share of it; the first one does."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
    if is_first_process():
        checkpoints.seal(checkpoint)
