"""Stock TRL, as a user would write it, and sitkit's student on the same examples with the same settings."""

from __future__ import annotations

import contextlib
import gc
import io
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sitkit.settings import ExploreSettings, InstructSettings, RefineSettings
from sitkit.types import Distillation, Objective, Reward
from tests.speed.measure import clock
from tests.speed.work import Work

RANK = 16


@dataclass(frozen=True)
class Trained:
    """Seconds a training took, and its losses, step by step."""

    seconds: float
    losses: Sequence[float]


def instruct_settings(batch: int, steps: int, micro: int = 0) -> InstructSettings:
    """Return settings that both sides train with; ``micro`` examples at once, 0 for the whole batch."""
    return InstructSettings(
        learning_rate=2.5e-4,
        batch_size=batch,
        micro_batch_size=micro or batch,
        max_steps=steps,
        epochs=50,
        lora_r=RANK,
        lora_alpha=32,
        lora_dropout=0.0,
    )


def refine_settings(batch: int, steps: int, micro: int = 0) -> RefineSettings:
    """Return settings that both sides train with; nothing is held out. ``micro`` pairs at once, 0 for the batch."""
    return RefineSettings(
        learning_rate=1.5e-4,
        batch_size=batch,
        micro_batch_size=micro or batch,
        max_steps=steps,
        epochs=50,
        warmup=2.0,
        validation=0.0,
    )


def instruct(work: Work, student: Any, settings: InstructSettings, out: Path | None = None) -> Trained:
    """Instruct sitkit's student."""
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        student.models.for_training()
        started = clean_start(work)
        report = student.instruct(
            work.demonstrations(),
            settings,
            out=out or Path(folder) / "out",
            scratch=Path(folder) / "scratch",
            seed=0,
            progress=lambda *_: None,
        )
        seconds = clock() - started
    return Trained(seconds, [row["loss"] for row in report.log if "loss" in row])


def refine(work: Work, student: Any, start: Path, settings: RefineSettings) -> Trained:
    """Refine sitkit's student from an adapter."""
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        student.models.for_training()
        started = clean_start(work)
        report = student.refine(
            start,
            work.pairs(),
            Objective(),
            settings,
            out=Path(folder) / "out",
            scratch=Path(folder) / "scratch",
            seed=0,
            progress=lambda *_: None,
        )
        seconds = clock() - started
    return Trained(seconds, [row["loss"] for row in report.log if "loss" in row])


def stock_sft(work: Work, settings: InstructSettings, *, sampling: str = "random") -> Trained:
    """Train with stock SFTTrainer on prompt and completion columns; ``sampling`` is how it draws its batches.

    Loading the model is not counted, as sitkit, which has its own loaded, does not load one either.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": one.prompt, "completion": f" {one.completion}"} for one in work.demonstrations()]
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder, _silent():
        model, tokenizer = _loaded(work), AutoTokenizer.from_pretrained(work.model)
        started = clean_start(work)
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **_common(folder, settings, work),
                train_sampling_strategy=sampling,
                completion_only_loss=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                r=RANK, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )
        trainer.train()
        seconds = clock() - started
    return Trained(seconds, [row["loss"] for row in trainer.state.log_history if "loss" in row])


def stock_dpo(work: Work, start: Path, settings: RefineSettings, *, second_model: bool = False) -> Trained:
    """Train with stock DPOTrainer from an adapter, which is loaded before the clock starts.

    The reference's log-probabilities are taken once, before; or, with ``second_model``, from a second model at every
    step, into which the adapter was merged. Batches cannot be grouped by length: DPOTrainer's data has no input_ids to
    take lengths from, and a column of lengths does not outlive the reference pass.
    """
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    rows = [{"prompt": one.prompt, "chosen": f" {one.chosen}", "rejected": f" {one.rejected}"} for one in work.pairs()]

    def adapted(*, trainable: bool) -> Any:
        return PeftModel.from_pretrained(_loaded(work), str(start), is_trainable=trainable)

    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder, _silent():
        model, tokenizer = adapted(trainable=True), AutoTokenizer.from_pretrained(work.model)
        reference = adapted(trainable=False).merge_and_unload() if second_model else None
        started = clean_start(work)
        trainer = DPOTrainer(
            model=model,
            ref_model=reference,
            args=DPOConfig(**_common(folder, settings, work), beta=0.1, precompute_ref_log_probs=not second_model),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        trainer.train()
        seconds = clock() - started
    return Trained(seconds, [row["loss"] for row in trainer.state.log_history if "loss" in row])


@dataclass(frozen=True)
class Online:
    """Seconds a training on own answers took, and the mean length of the answers, in tokens."""

    seconds: float
    length: float


def explore_settings(prompts: int, steps: int, longest: int, micro: int = 0) -> ExploreSettings:
    """Return settings that both sides train with: eight answers to each prompt."""
    batch = prompts * 8
    return ExploreSettings(
        learning_rate=1e-5,
        scheduler="constant",
        warmup=0.0,
        micro_batch_size=micro or batch,
        steps=steps,
        prompts=prompts,
        samples=8,
        max_new_tokens=longest,
        save_steps=1000,
    )


def online(kind: str, work: Work, student: Any, start: Path, settings: ExploreSettings) -> Online:
    """Train sitkit's student on its own answers: by a reward ("grpo"), or by itself as the teacher ("gkd")."""
    from sitkit.types import Question
    from sitkit_hf.teacher import HfTeacher

    def judge(question: Question, completion: Any) -> dict[str, float]:
        return {"right": float(question.target_text in completion.text)}

    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder:
        student.models.for_training()
        out: dict[str, Any] = {"out": Path(folder) / "out", "scratch": Path(folder) / "scratch", "seed": 0}
        teacher = HfTeacher(student.options)
        if kind == "gkd":
            # What loading takes is counted on neither side.
            teacher.models.generator(None)
        started = clean_start(work)
        if kind == "grpo":
            report = student.explore(
                start, work.questions, Reward({"right": 1.0}, judge), settings, progress=lambda *_: None, **out
            )
        else:
            report = student.distil(
                start, work.questions, teacher, Distillation(), settings, progress=lambda *_: None, **out
            )
        seconds = clock() - started
    return Online(seconds, statistics.fmean(row["completions/mean_length"] for row in report.log))


def stock_online(kind: str, work: Work, start: Path, settings: ExploreSettings) -> Online:
    """Train with stock GRPOTrainer or DistillationTrainer from an adapter, which writes its answers by `generate`."""
    import trl
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer

    from sitkit_hf.explore import ask
    from sitkit_hf.prompts import Prompts

    def right(completions: Sequence[str], target: Sequence[str], **_: Any) -> list[float]:
        return [float(one in text) for text, one in zip(completions, target, strict=True)]

    batch, name = settings.prompts * settings.samples, {"grpo": "GRPO", "gkd": "Distillation"}[kind]
    repeats = settings.samples if kind == "gkd" else 1
    # The same questions in the same order.
    student, base = work.student(), SimpleNamespace(config=AutoConfig.from_pretrained(work.model))
    prompts = Prompts(student.models.tokenizer(), student.options, ())
    asked = ask(prompts, work.questions, settings, base, 0, repeats=repeats)
    rows = [{"prompt": one["prompt"], "target": work.questions[one["place"]].target_text} for one in asked.rows]
    own: dict[str, Any] = {"reward_funcs": [right]}
    arguments: dict[str, Any] = {"num_generations": settings.samples, "beta": settings.beta}
    if kind == "gkd":
        own, arguments = {"teacher_model": _loaded(work).eval()}, {"beta": 0.5}
    with tempfile.TemporaryDirectory(prefix="sitkit-bench-") as folder, _silent():
        model = PeftModel.from_pretrained(_loaded(work), str(start), is_trainable=True)
        tokenizer = AutoTokenizer.from_pretrained(work.model, padding_side="left")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        common = _common(folder, instruct_settings(batch, settings.steps, settings.micro_batch_size), work)
        del common["max_length"]
        config = getattr(trl, f"{name}Config")(
            **{**common, "learning_rate": settings.learning_rate, "lr_scheduler_type": "constant", "warmup_steps": 0},
            temperature=settings.temperature,
            max_completion_length=settings.max_new_tokens,
            disable_dropout=True,
            shuffle_dataset=False,
            **arguments,
        )
        started = clean_start(work)
        trainer = getattr(trl, f"{name}Trainer")(
            model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, **own
        )
        trainer.train()
        seconds = clock() - started
    log = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    return Online(seconds, statistics.fmean(log))


def clean_start(work: Work) -> float:
    """Clear away what the other side left, and return the time."""
    gc.collect()
    if work.device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.synchronize()
    return clock()


def _loaded(work: Work) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    extra: dict[str, Any] = {}
    if work.quantized:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, work.dtype),
        )
        extra["device_map"] = {"": work.device}
    return AutoModelForCausalLM.from_pretrained(
        work.model, dtype=getattr(torch, work.dtype), attn_implementation=work.attention, **extra
    )


def _common(folder: str, settings: InstructSettings | RefineSettings, work: Work) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": settings.batch_size // settings.micro_batch_size,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup,
        "max_steps": settings.max_steps,
        "max_length": settings.max_length,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": work.device == "cpu",
        "bf16": work.dtype == "bfloat16",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 0,
        "data_seed": 0,
    }


@contextlib.contextmanager
def _silent() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def furthest(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest difference between two loss curves."""
    return max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
