"""Refine an adapter on preference pairs: the losses there are, pairs held out, and the right trainer chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError, SettingError, suggestion
from sitkit.plugin_support import end_tokens
from sitkit.settings import RefineSettings
from sitkit.types import Objective, PreferencePair, Progress, TrainingReport
from sitkit_hf.adapters import check_adapter, trainable_adapter
from sitkit_hf.loading import Models
from sitkit_hf.prompts import Examples, Prompts, completions, preferences
from sitkit_hf.training import Job, check_optimizer, check_scheduler

LOSSES = (
    "aot",
    "aot_unpaired",
    "apo_down",
    "apo_zero",
    "bco_pair",
    "discopop",
    "exo_pair",
    "hinge",
    "ipo",
    "nca_pair",
    "robust",
    "sft",
    "sigmoid",
    "sigmoid_norm",
    "sppo_hard",
)
"""TRL 1.16's DPO losses."""

SMOOTHED = ("exo_pair", "robust")
"""Those that are nothing of their own, or nothing at all, without label smoothing."""


def refine(
    models: Models,
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
    """Go on from the adapter in ``start``, which is also the frozen reference.

    ``objective`` is the one to optimise, the settings laid over it already; ``("sft",)`` alone is plain fine-tuning on
    the chosen sides. Raises `SettingError` for settings that cannot be and `ModelError` where there is nothing to
    train on.
    """
    from sitkit_hf.dpo import prefer
    from sitkit_hf.sft import fine_tune

    check_losses(objective, settings)
    check_scheduler("refine", settings)
    check_optimizer("refine", settings)
    check_patience(settings)
    different = [pair for pair in pairs if pair.chosen.strip() != pair.rejected.strip()]
    kept, held_out = hold_out(different, settings.validation, seed)
    job = Job(
        stage="refine",
        models=models,
        settings=settings,
        epochs=settings.epochs,
        out=out,
        scratch=scratch,
        seed=seed,
        progress=progress,
        # TRL's DPO trainer switches it off.
        dropout=objective.loss == ("sft",),
        label_smoothing=settings.label_smoothing,
    )
    if not kept:
        raise ModelError(f"refine: no preference pair is left to train on (of {len(pairs)} given)")
    job.steps(len(kept))
    check_adapter(start)
    base = models.for_training()
    prompts = Prompts(models.tokenizer(), models.options, end_tokens(base.generation_config))
    # A student that was not instructed meets them here for the first time.
    prompts.check_thoughts(pair.chosen for pair in pairs if pair.chosen_from == "teacher")

    def attach(model: Any) -> Any:
        return trainable_adapter(model, start, models.folder())

    if objective.loss == ("sft",):
        chosen, chosen_held_out = (
            completions(prompts, [(pair.prompt, pair.chosen) for pair in part], job.max_length())
            for part in (kept, held_out)
        )
        chosen.left_out += len(pairs) - len(different)
        return fine_tune(_evaluating(job, settings, chosen_held_out), attach, chosen, chosen_held_out)
    examples, examples_held_out = (preferences(prompts, part, job.max_length()) for part in (kept, held_out))
    examples.left_out += len(pairs) - len(different)
    return prefer(_evaluating(job, settings, examples_held_out), attach, examples, examples_held_out, objective)


def _evaluating(job: Job, settings: RefineSettings, held_out: Examples) -> Job:
    if not held_out.rows:
        return job
    return replace(job, eval_steps=settings.eval_steps, patience=settings.patience)


def check_patience(settings: RefineSettings) -> None:
    """Raise `SettingError` where the training should stop by a validation loss that is never taken."""
    if settings.patience and not settings.validation:
        raise SettingError(
            f"refine.patience={settings.patience} needs pairs held out: set refine.validation above 0 (0.1, say)"
        )


def check_losses(objective: Objective, settings: RefineSettings) -> None:
    """Raise `SettingError` for a loss that is not known, naming the nearest, or that lacks what it is about."""
    for name in objective.loss:
        if name in SMOOTHED and not settings.label_smoothing:
            raise SettingError(f"refine.loss={name} needs refine.label_smoothing above 0")
        if name not in LOSSES:
            losses = "+".join(objective.loss)
            raise SettingError(f"refine.loss={losses}: no loss is called {name!r}{suggestion(name, LOSSES)}")


def hold_out(
    pairs: Sequence[PreferencePair], share: float, seed: int
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Split off the pairs of a share of the questions for validation, chosen by a hash of seed and question id.

    All pairs of a question are on one side: what is learnt of a question says nothing of another of its pairs. At least
    one question is held out where there are 10 or more and the share is above 0; at least one is kept.
    """
    questions = dict.fromkeys(map(_question, pairs))
    wanted = min(round(share * len(questions)), len(questions) - 1)
    if share > 0 and len(questions) >= 10:
        wanted = max(1, wanted)
    chosen = set(sorted(questions, key=lambda question: _rank(question, seed))[: max(0, wanted)])
    kept = [pair for pair in pairs if _question(pair) not in chosen]
    return kept, [pair for pair in pairs if _question(pair) in chosen]


def _question(pair: PreferencePair) -> tuple[str, str]:
    return pair.benchmark, pair.question_id


def _rank(question: tuple[str, str], seed: int) -> str:
    return hashlib.sha256("\0".join((str(seed), *question)).encode()).hexdigest()
