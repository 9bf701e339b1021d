"""Supervised fine-tuning of a LoRA adapter with TRL's SFTTrainer: instruction-tuning, and the control of refining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError
from sitkit.plugin_support import end_tokens, quiet, seeded
from sitkit.settings import InstructSettings
from sitkit.types import Demonstration, Progress, TrainingReport
from sitkit_hf.adapters import adapted, lora_targets, save_adapter
from sitkit_hf.fast_logprobs import speed_up
from sitkit_hf.loading import Models
from sitkit_hf.prompts import Examples, Prompts, completions
from sitkit_hf.training import (
    Job,
    check_optimizer,
    check_scheduler,
    train,
    trainable_copy,
    training_report,
    with_batches_that_fit,
)


def instruct(
    models: Models,
    demonstrations: Sequence[Demonstration],
    settings: InstructSettings,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    progress: Progress,
) -> TrainingReport:
    """Train a new adapter on every linear layer (never the output layer); the loss is that of the completions.

    With no demonstrations the adapter is left as it starts, changing nothing.
    """
    check_scheduler("instruct", settings)
    check_optimizer("instruct", settings)
    job = Job(
        stage="instruct",
        models=models,
        settings=settings,
        epochs=settings.epochs,
        out=out,
        scratch=scratch,
        seed=seed,
        progress=progress,
        dropout=settings.lora_dropout > 0,
    )
    base = models.for_training()
    prompts = Prompts(models.tokenizer(), models.options, end_tokens(base.generation_config))
    texts = [(row.prompt, row.completion) for row in demonstrations]
    prompts.check_thoughts(text for _, text in texts)
    examples = completions(prompts, texts, job.max_length())
    if settings.packing:
        _check_packing(base)

    def attach(model: Any) -> Any:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            **lora_targets(model),
            task_type="CAUSAL_LM",
            # PEFT looks for the base's config here; a hub id would send it to the network at every checkpoint.
            base_model_name_or_path=models.folder(),
        )
        return get_peft_model(model, config)

    if not demonstrations:
        return _untaught(job, attach)
    return fine_tune(job, attach, examples, Examples(), packing=settings.packing)


def _untaught(job: Job, attach: Callable[[Any], Any]) -> TrainingReport:
    """Save an adapter as it is before the first step: PEFT starts it so that it changes nothing."""
    with quiet(), seeded(job.seed), adapted(job.models, attach) as model:
        save_adapter(model, job.out, job.models.options.name)
    return TrainingReport(steps=0, metrics={"examples": 0})


def fine_tune(
    job: Job, attach: Callable[[Any], Any], examples: Examples, held_out: Examples, *, packing: bool = False
) -> TrainingReport:
    """Train the adapter that ``attach`` puts on the base and save it. Raises `ModelError` without examples."""
    if not examples.rows:
        raise ModelError(f"{job.stage}: no example is left to train on (of {examples.left_out} given)")

    def attempt(micro: int) -> TrainingReport:
        # Loaded before `quiet`, which then keeps its bars away.
        from datasets import Dataset

        with quiet(), seeded(job.seed), adapted(job.models, attach, attention=job.attention()) as model:
            from trl import SFTConfig, SFTTrainer

            start = trainable_copy(model)
            trainer = SFTTrainer(
                model=model,
                args=job.config(
                    SFTConfig,
                    micro,
                    max_length=job.max_length(),
                    packing=packing,
                    # The rows are tokens already, exactly those that generation starts from.
                    dataset_kwargs=None if packing else {"skip_prepare_dataset": True},
                ),
                train_dataset=Dataset.from_list(examples.rows),
                eval_dataset=Dataset.from_list(held_out.rows) if held_out.rows else None,
                processing_class=job.models.tokenizer(),
            )
            if job.settings.fast:
                speed_up(model.get_base_model(), pairs=False)
            train(job, trainer, start)
            save_adapter(model, job.out, job.models.options.name)
            return training_report(job, trainer, examples, held_out, micro, {"examples": len(examples.rows)})

    longest = max(len(row["input_ids"]) for row in [*examples.rows, *held_out.rows])
    return with_batches_that_fit(job, longest, attempt)


def _check_packing(base: Any) -> None:
    attention = str(getattr(base.config, "_attn_implementation", ""))
    if "flash" not in attention:
        raise ModelError(
            f"instruct.packing needs flash attention, and this model runs with {attention or 'another'} attention here;"
            " leave packing off"
        )
