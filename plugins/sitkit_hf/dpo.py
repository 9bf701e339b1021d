"""Preference optimisation of a LoRA adapter with TRL's DPOTrainer; the reference is the adapter it starts from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sitkit.errors import ModelError
from sitkit.plugin_support import quiet, seeded
from sitkit.types import Objective, TrainingReport
from sitkit_hf.adapters import adapted, save_adapter, switch_attention_dropout_off
from sitkit_hf.fast_logprobs import speed_up
from sitkit_hf.prompts import Examples
from sitkit_hf.training import Job, train, trainable_copy, training_report, with_batches_that_fit

COLLAPSE = -3.0
"""Nats: below this mean change of the chosen side's log-probability a collapse is warned of."""


def prefer(
    job: Job, attach: Callable[[Any], Any], examples: Examples, held_out: Examples, objective: Objective
) -> TrainingReport:
    """Train the adapter that ``attach`` puts on the base on preference pairs and save it.

    The reference's log-probabilities are taken once, before the first step, also when going on after a kill: the
    trainer is made from the starting adapter and its checkpoint loaded afterwards. Raises `ModelError` if the first
    loss shows that the reference is not the starting student.
    """
    if not examples.rows:
        raise ModelError(f"{job.stage}: no preference pair is left to train on (of {examples.left_out} given)")
    check_first = _ln2(job, objective)

    def attempt(micro: int) -> TrainingReport:
        # Loaded before `quiet`, which then keeps its bars away.
        import datasets  # noqa: F401

        with quiet(), seeded(job.seed), adapted(job.models, attach, attention=job.attention()) as model:
            start = trainable_copy(model)
            switch_attention_dropout_off(model)
            trainer = _trainer(job, model, examples, held_out, objective, micro)
            train(job, trainer, start, check_first)
            save_adapter(model, job.out, job.models.options.name)
            shift = chosen_shift(trainer, trainer.eval_dataset if held_out.rows else trainer.train_dataset, micro)
            own = {"pairs": len(examples.rows), "chosen_logp_shift": shift}
            collapse = (
                f"the chosen side's log-probability fell {-shift:.1f} nats below the reference's: a sign of collapse;"
                " lower refine.learning_rate or add an sft term"
            )
            more = [collapse] if shift < COLLAPSE else []
            return training_report(job, trainer, examples, held_out, micro, own, *more)

    longest = max(sum(map(len, row.values())) for row in [*examples.rows, *held_out.rows])
    return with_batches_that_fit(job, longest, attempt)


def _trainer(job: Job, model: Any, examples: Examples, held_out: Examples, objective: Objective, micro: int) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class TokenPairsTrainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            # The rows are tokens already, exactly those that generation starts from.
            return dataset

        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            # The first time that the model is asked; TRL has prepared it by now.
            if job.settings.fast:
                speed_up(self.model.get_base_model(), pairs=True)
            if self.accelerator.num_processes == 1:
                return super()._precompute_ref_logps(dataset, name, batch_size)
            return with_reference(self, dataset, batch_size)

    return TokenPairsTrainer(
        model=model,
        args=job.config(
            DPOConfig,
            micro,
            max_length=job.max_length(),
            loss_type=list(objective.loss),
            loss_weights=list(objective.weights),
            beta=objective.beta,
            label_smoothing=job.label_smoothing,
            precompute_ref_log_probs=True,
        ),
        train_dataset=Dataset.from_list(examples.rows),
        eval_dataset=Dataset.from_list(held_out.rows) if held_out.rows else None,
        processing_class=job.models.tokenizer(),
    )


def _ln2(job: Job, objective: Objective) -> Callable[[float], None] | None:
    if objective.loss != ("sigmoid",):
        return None
    expected = math.log(2) * objective.weights[0]
    # In half precision the log-probability of a long answer is only good to some tenths of a nat.
    tolerance = (1e-3 if "32" in str(job.models.dtype()) else 3e-2) * objective.weights[0]

    def check(loss: float) -> None:
        if abs(loss - expected) > tolerance:
            raise ModelError(
                f"{job.stage}: the first loss is {loss:.4f} and not {expected:.4f} (ln 2):"
                " the reference is not the starting student"
            )

    return check


def chosen_shift(trainer: Any, dataset: Any, batch_size: int) -> float:
    """Return the mean of log pi(chosen) - log ref(chosen) over the pairs, in nats, for the weights as they are."""
    import torch

    model = trainer.model.eval()
    total = 0.0
    for first in range(0, len(dataset), batch_size):
        rows = [dataset[index] for index in range(first, min(first + batch_size, len(dataset)))]
        batch = {key: value.to(model.device) for key, value in trainer.data_collator(rows).items()}
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with torch.no_grad(), trainer.accelerator.autocast():
            log_probs = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                labels=labels,
                fused_lm_head=True,
                use_cache=False,
            ).log_probs
        chosen = log_probs.sum(dim=1).chunk(2)[0]
        total += float((chosen - batch["ref_chosen_logps"].to(chosen.device)).sum())
    return total / len(dataset)


def with_reference(trainer: Any, dataset: Any, batch_size: int) -> Any:
    """Return the dataset with the columns ref_chosen_logps and ref_rejected_logps, in nats, the same on every process.

    Each process takes its share of the rows. TRL 1.16 hands them over in a cache file whose name is drawn anew by each
    process where the dataset is in memory, so only the first one finds it.
    """
    import torch
    from torch.utils.data import DataLoader

    rows = DataLoader(dataset, batch_size=batch_size, collate_fn=trainer.data_collator, shuffle=False)
    taken = []
    for batch in trainer.accelerator.prepare(rows):
        both = trainer.compute_ref_log_probs(trainer.model, batch)
        taken.append(torch.stack(trainer.accelerator.gather_for_metrics(both)).cpu())
    chosen, rejected = torch.cat(taken, dim=1).tolist()
    return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)
