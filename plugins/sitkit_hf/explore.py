"""Learn from answers that the student writes meanwhile: by a reward with TRL's GRPOTrainer, by a teacher with its
DistillationTrainer. `sitkit_hf.generation` writes the answers, as it writes those that are scored.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sitkit.conformance import judged_fault
from sitkit.errors import ModelError, PluginError, SettingError
from sitkit.plugin_support import end_tokens, quiet, seeded, stream_seed
from sitkit.settings import ExploreSettings, OptimizerSettings, TrainSettings
from sitkit.types import Completion, Distillation, Generation, Progress, Question, Reward, Teacher, TrainingReport
from sitkit_hf.adapters import (
    adapted,
    check_adapter,
    merged_meanwhile,
    save_adapter,
    switch_attention_dropout_off,
    trainable_adapter,
)
from sitkit_hf.generation import Row, StopStrings, write
from sitkit_hf.loading import Models
from sitkit_hf.prompts import Prompts
from sitkit_hf.teacher import HfTeacher
from sitkit_hf.training import (
    Job,
    check_optimizer,
    check_scheduler,
    curve,
    train,
    trainable_copy,
    warmup_warning,
    with_batches_that_fit,
)

_MANY_CUT = 0.1
_ENDS = 10
"""A metric of the beginning, or of the end, is the mean of so many steps, or of a quarter of all if that is fewer."""


@dataclass(frozen=True)
class Asked:
    """What the trainers are given: a row for each question of each step, its prompt's tokens by text, the tokens an
    answer may have, and how many questions were cut.
    """

    rows: list[dict[str, Any]]
    tokens: Mapping[str, list[int]]
    longest: int
    cut: int


def explore(
    models: Models,
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
    """Go on from the adapter in ``start``, the frozen reference, by group relative policy optimisation (GRPO)."""
    job = _job(models, start, settings, out, scratch, seed, progress)
    prompts = _prompts(models)
    asked = ask(prompts, questions, settings, models.base(), seed, repeats=1)
    known = dict(enumerate(questions))

    def trainer(model: Any, micro: int) -> Any:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        return writing(GRPOTrainer, prompts, asked, settings, seed)(
            model=model,
            reward_funcs=rewards(reward, known, prompts.ends),
            args=job.config(
                GRPOConfig,
                micro,
                **_generating(settings, asked),
                reward_weights=[float(weight) for weight in reward.weights.values()],
                num_generations=settings.samples,
                beta=settings.beta,
                loss_type=settings.loss,
            ),
            train_dataset=Dataset.from_list(asked.rows),
            processing_class=models.tokenizer(),
        )

    return _trained(job, start, trainer, asked, settings, {"questions": len(questions)}, list(reward.weights))


def distil(
    models: Models,
    start: Path,
    questions: Sequence[Question],
    teacher: HfTeacher,
    distillation: Distillation,
    settings: ExploreSettings,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    progress: Progress,
) -> TrainingReport:
    """Go on from the adapter in ``start`` towards what the teacher says of each token of the student's own answers."""
    job = _job(models, start, settings, out, scratch, seed, progress)
    prompts = _prompts(models)
    asked = ask(prompts, questions, settings, models.base(), seed, repeats=settings.samples)
    if models.tokenizer().get_vocab() != teacher.models.tokenizer().get_vocab():
        raise SettingError(other_vocabulary(models.options.name))
    model_of_teacher = teacher.models.generator(None)

    def trainer(model: Any, micro: int) -> Any:
        from datasets import Dataset
        from trl import DistillationConfig, DistillationTrainer

        return writing(DistillationTrainer, prompts, asked, settings, seed)(
            model=model,
            teacher_model=model_of_teacher,
            args=job.config(DistillationConfig, micro, **_generating(settings, asked), beta=distillation.beta),
            train_dataset=Dataset.from_list(asked.rows),
            processing_class=models.tokenizer(),
        )

    return _trained(job, start, trainer, asked, settings, {"questions": len(questions)}, [])


def check_explore(settings: ExploreSettings) -> None:
    """Raise `SettingError` for a schedule or an optimiser that cannot be."""
    train_settings = _train_settings(settings)
    check_scheduler("explore", train_settings)
    check_optimizer("explore", train_settings)


def check_teacher(models: Models, teacher: Teacher) -> None:
    """Raise `SettingError` unless the teacher is a model run here whose tokens are the student's.

    What the hub has and this machine has not is looked at when it is loaded.
    """
    own, other = (vocabulary(one.options.folder) for one in (models, as_local(teacher).models))
    if own is not None and other is not None and own != other:
        raise SettingError(other_vocabulary(models.options.name))


def as_local(teacher: Teacher) -> HfTeacher:
    """Return the teacher as the model that it is here. Raises `SettingError` if it is none."""
    if not isinstance(teacher, HfTeacher):
        raise SettingError("its probabilities of each token are needed, so it must be a model run here (hf:MODEL)")
    return teacher


def other_vocabulary(student: str) -> str:
    """Return how to say that the tokens are not the same."""
    return f"its vocabulary is not that of the student {student}; both must have the same tokens"


def vocabulary(folder: Path | None) -> dict[str, int] | None:
    """Return token -> id by a folder's tokenizer.json; None where that is not there or says it in another way."""
    try:
        told = json.loads(((folder or Path()) / "tokenizer.json").read_text(encoding="utf-8"))
        listed = told["model"]["vocab"]
        known = listed if isinstance(listed, dict) else {token: place for place, (token, _) in enumerate(listed)}
        return {**known, **{one["content"]: one["id"] for one in told.get("added_tokens", ())}}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ask(
    prompts: Prompts, questions: Sequence[Question], settings: ExploreSettings, base: Any, seed: int, *, repeats: int
) -> Asked:
    """Return the rows of every step, in the order of training.

    Each pass over the questions has an order of its own by the seed, and a step may reach over the end of one.
    """
    order, rng = list[int](), random.Random(f"explore/{seed}")
    wanted = settings.steps * settings.prompts
    while len(order) < wanted:
        once = list(range(len(questions)))
        rng.shuffle(once)
        order += once
    texts = [question.prompt("cot") for question in questions]
    tokens = {text: prompts.prompt(text) for text in texts}
    positions = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    longest, cut = settings.max_new_tokens, 0
    if positions is not None:
        # As in generation, the prompt matters more than the length of the answer, up to half of what a model can see.
        room = positions - min(longest, positions // 2)
        cut = sum(len(tokens[text]) > room for text in texts)
        tokens = {text: ids[-room:] for text, ids in tokens.items()}
        longest = min(longest, positions - max(map(len, tokens.values())))
    rows = [{"prompt": texts[place], "place": place} for place in order[:wanted] for _ in range(repeats)]
    return Asked(rows, tokens, longest, cut)


def rewards(reward: Reward, questions: Mapping[int, Question], ends: Sequence[int]) -> list[Callable[..., Any]]:
    """Return a reward function of TRL for each term, which the trainer logs under its name.

    An answer is judged once for all terms. It was cut where no end token closes it.
    """
    judged: dict[tuple[int, str, bool], Mapping[str, float]] = {}

    def value(name: str, place: int, text: str, tokens: Sequence[int]) -> float:
        key = (place, text, not tokens or tokens[-1] not in ends)
        if key not in judged:
            question, completion = questions[place], Completion(questions[place].id, text.strip(), key[2])
            terms = reward.judge(question, completion)
            if fault := judged_fault(reward, terms):
                raise PluginError(f"the reward for an answer to {question.id} of {question.benchmark}: {fault}")
            judged[key] = terms
        return float(judged[key][name])

    def function(name: str, last: bool) -> Callable[..., Any]:
        def told(completions: Sequence[str], completion_ids: Sequence[Any], place: Sequence[int], **_: Any) -> Any:
            values = [value(name, *one) for one in zip(place, completions, completion_ids, strict=True)]
            if last:
                judged.clear()
            return values

        told.__name__ = name
        return told

    names = list(reward.weights)
    return [function(name, name == names[-1]) for name in names]


def writing(kind: Any, prompts: Prompts, asked: Asked, settings: ExploreSettings, seed: int) -> Any:
    """Return a trainer's class that has its answers from `sitkit_hf.generation`, drawn by the seed, the step and the
    place in it.

    TRL writes them with ``generate``, which reads a prompt again for each answer to it, goes on for all rows until the
    longest ends, and multiplies with the adapter beside the weights.
    """
    generation = Generation(asked.longest, settings.temperature, stop=())
    stops = StopStrings(prompts.tokenizer, ())

    class Writing(kind):  # type: ignore[misc]
        written = (0, 0)
        """The step, and how many of its answers are written: not every trainer asks for all at once."""

        def _tokenize_prompts(self, texts: Sequence[str]) -> Any:
            return [list(asked.tokens[text]) for text in texts], None, {}

        def _generate_single_turn(self, prompt_ids: Sequence[list[int]], *_: Any, **__: Any) -> Any:
            step = int(self.state.global_step)
            first = self.written[1] if self.written[0] == step else 0
            self.written = (step, first + len(prompt_ids))
            rows = [
                Row(str(place), list(ids), asked.longest, stream_seed(seed, f"explore/{step}/{first + place}"))
                for place, ids in enumerate(prompt_ids)
            ]
            name = f"explore: the adapter after step {step}"
            unwrapped = self.accelerator.unwrap_model(self.model)
            with merged_meanwhile(unwrapped, name, "explore.learning_rate") as model:
                found = {
                    one.id: one.tokens if one.end is None else [*one.tokens, one.end]
                    for one in write(model, prompts, rows, generation, stops)
                }
            ids = [found[row.id] for row in rows]
            return (ids, None) if hasattr(self, "reward_funcs") else ids

    return Writing


def _prompts(models: Models) -> Prompts:
    prompts = Prompts(models.tokenizer(), models.options, end_tokens(models.for_training().generation_config))
    if not prompts.ends:
        raise ModelError("the tokenizer has no end-of-sequence token, so no answer ever ends")
    return prompts


def _train_settings(settings: ExploreSettings) -> TrainSettings:
    shared = {one.name: getattr(settings, one.name) for one in fields(OptimizerSettings)}
    return TrainSettings(**shared, batch_size=settings.prompts * settings.samples, max_steps=settings.steps)


def _job(
    models: Models, start: Path, settings: ExploreSettings, out: Path, scratch: Path, seed: int, progress: Progress
) -> Job:
    check_explore(settings)
    check_adapter(start)
    return Job(
        stage="explore",
        models=models,
        settings=_train_settings(settings),
        epochs=0,
        out=out,
        scratch=scratch,
        seed=seed,
        progress=progress,
    )


def _generating(settings: ExploreSettings, asked: Asked) -> dict[str, Any]:
    return {
        "temperature": settings.temperature,
        "max_completion_length": asked.longest,
        # The rows are in order.
        "shuffle_dataset": False,
        # As for DPO: with dropout a student would not be its own reference at the first step.
        "disable_dropout": True,
    }


def _trained(
    job: Job,
    start: Path,
    make: Callable[[Any, int], Any],
    asked: Asked,
    settings: ExploreSettings,
    own: Mapping[str, float],
    terms: Sequence[str],
) -> TrainingReport:
    def attach(model: Any) -> Any:
        return trainable_adapter(model, start, job.models.folder())

    def attempt(micro: int) -> TrainingReport:
        # Loaded before `quiet`, which then keeps its bars away.
        import datasets  # noqa: F401

        with quiet(), seeded(job.seed), adapted(job.models, attach) as model:
            started = trainable_copy(model)
            switch_attention_dropout_off(model)
            trainer = make(model, micro)
            train(job, trainer, started)
            save_adapter(model, job.out, job.models.options.name)
            return _report(job, trainer, asked, settings, {**own, "micro_batch_size": micro}, terms)

    longest = max(map(len, asked.tokens.values())) + asked.longest
    return with_batches_that_fit(job, longest, attempt)


def _report(
    job: Job,
    trainer: Any,
    asked: Asked,
    settings: ExploreSettings,
    own: Mapping[str, float],
    terms: Sequence[str],
) -> TrainingReport:
    rows, steps = curve(trainer), int(trainer.state.global_step)
    names = {
        "loss": "loss",
        "reward": "reward",
        **{f"rewards/{term}/mean": term for term in terms},
        "kl": "kl",
        "completions/mean_length": "length",
        "completions/clipped_ratio": "truncated",
    }
    metrics = dict[str, float]()
    for column, name in names.items():
        values = [row[column] for row in rows if column in row]
        if values:
            part = min(_ENDS, max(1, len(values) // 4))
            metrics[f"first_{name}"] = statistics.fmean(values[:part])
            metrics[f"last_{name}"] = statistics.fmean(values[-part:])
    answers = steps * job.settings.batch_size
    metrics |= {
        "completions": answers,
        "written": _written(rows, job.settings.batch_size),
        "tokens": int(trainer.state.num_input_tokens_seen),
        "cut": asked.cut,
        **own,
    }
    warnings = [*warmup_warning(job, steps)]
    if asked.cut:
        warnings.append(f"{asked.cut} questions are longer than the model can see; they were cut on the left")
    cut = statistics.fmean(row.get("completions/clipped_ratio", 0.0) for row in rows)
    if cut > _MANY_CUT:
        warnings.append(
            f"{cut:.0%} of the answers learnt from were cut at explore.max_new_tokens={settings.max_new_tokens}"
            + (" and counted as wrong" if terms else "")
        )
    for term in terms:
        values = [row[name] for row in rows if (name := f"rewards/{term}/mean") in row]
        if (fall := fallen(values)) is not None:
            warnings.append(
                f"the answers' reward fell ({term}: {fall[0]:.2f} in the first quarter of the steps, {fall[1]:.2f} in"
                " the last): the student unlearns what is rewarded; lower explore.learning_rate, or raise explore.beta"
            )
    alike = statistics.fmean(row.get("frac_reward_zero_std", 0.0) for row in rows)
    metrics |= {"alike": alike} if terms else {}
    return TrainingReport(steps, metrics, rows, warnings)


def _written(rows: Sequence[Mapping[str, float]], answers: int) -> int:
    """Return how many tokens were written by a curve: a row tells the mean length since the one before."""
    before, found = 0.0, 0.0
    for row in rows:
        found += row.get("completions/mean_length", 0.0) * (row["step"] - before) * answers
        before = row["step"]
    return round(found)


def fallen(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the means of the first and of the last quarter of a curve where the last is lower beyond chance: by more
    than twice the standard error of their difference, from three values each on; else None.
    """
    part = len(values) // 4
    if part < 3:
        return None
    first, last = values[:part], values[-part:]
    before, after = statistics.fmean(first), statistics.fmean(last)
    error = math.sqrt((statistics.variance(first) + statistics.variance(last)) / part)
    return (before, after) if before - after > 2 * error else None
