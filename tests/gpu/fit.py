"""``python -m tests.gpu.fit [SHAPE ...]``: does a model of that shape fit the card, and how fast is it?

Random weights are made on the card, so nothing is downloaded. Each measurement is a line of JSON as it comes: tokens a
second over the later steps of a training or a whole generation, peak memory as torch counts it, and the share of the
card's bfloat16 matrix rate that was used (frozen weights: 4 operations a weight and token, what gradient checkpointing
computes again not counted). Beside them TRL and `generate` on the same loaded weights, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitkit.settings import InstructSettings, RefineSettings
from sitkit.types import Demonstration, Generation, Objective, PreferencePair, Prompt

COMMON = {"vocab_size": 32000, "max_position_embeddings": 4096}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2-135m": (
        "LlamaConfig",
        {
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "vocab_size": 49152,
            "tie_word_embeddings": True,
        },
    ),
    "llama-2-7b": (
        "LlamaConfig",
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    ),
    "mistral-7b": (
        "MistralConfig",
        {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "sliding_window": None,
        },
    ),
    "llama-2-13b": (
        "LlamaConfig",
        {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
    ),
}
"""The published shapes (each model's config.json); Mistral's window is left out, as version 0.2 and later have none."""

STEPS = 5
"""Steps of a training; the first two are not counted."""


@dataclass
class Bench:
    """Where lines go, until when new measurements are begun, and the card's rate in operations a second."""

    out: Path | None
    ends: float
    rate: float = 0.0
    only: Sequence[str] = ()

    def tell(self, **values: object) -> None:
        """Write a line of JSON."""
        line = json.dumps(values)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if self.out is not None:
            with self.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def try_to(self, measure: Callable[..., object], *given: Any, **named: Any) -> None:
        """Measure, unless time is up; a failure is a line too, and the rest goes on."""
        if self.only and measure.__name__ not in self.only:
            return
        what = f"{measure.__name__} {[one for one in given if isinstance(one, str)]} {named}"
        if time.monotonic() > self.ends:
            self.tell(left_out=what, why="time is up")
            return
        try:
            measure(self, *given, **named)
        except Exception as error:
            self.tell(failed=what, why=f"{type(error).__name__}: {str(error)[:300]}")
        free()


def main() -> int:
    """Measure the shapes asked for."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m tests.gpu.fit", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("shape", nargs="*", choices=[*SHAPES, []], help="default: all", metavar="SHAPE")
    parser.add_argument("--out", type=Path, help="append the lines to this file")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin nothing after so many (default 30)")
    parser.add_argument("--folder", type=Path, help="where models of up to 26 GB are written (default: a new one)")
    parser.add_argument("--brief", action="store_true", help="one training of each kind, nothing beside them")
    parser.add_argument("--only", nargs="+", default=[], help="instruct, refine, beside_sft, beside_dpo, answer")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stdout.write("gpu: skipped, no CUDA device is available here\n")
        return 0
    bench = Bench(options.out, time.monotonic() + 60 * options.minutes, only=options.only)
    bench.tell(device=torch.cuda.get_device_name(), torch=torch.__version__, gigabytes=total_memory())
    bench.rate = matrix_rate()
    bench.tell(matrix_product_bfloat16_tflops=bench.rate / 1e12)
    for shape in options.shape or SHAPES:
        with tempfile.TemporaryDirectory(prefix="sitkit-fit-", dir=options.folder) as folder:
            try:
                measure_shape(bench, shape, Path(folder), brief=options.brief)
            except Exception as error:
                bench.tell(shape=shape, failed="whole", why=f"{type(error).__name__}: {str(error)[:300]}")
        free()
    return 0


def total_memory() -> float:
    """Return the card's memory in GB."""
    import torch

    return round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)


def matrix_rate() -> float:
    """Return operations a second of an 8192 x 8192 x 8192 product in bfloat16."""
    import torch

    one, other = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for turn in range(13):
        if turn == 3:
            torch.cuda.synchronize()
            started = time.perf_counter()
        one @ other
    torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (time.perf_counter() - started)


def measure_shape(bench: Bench, shape: str, folder: Path, *, brief: bool) -> None:
    """Measure one shape: what fits, then what stands beside it. Liger is last: its kernels stay in the layers."""
    started = time.perf_counter()
    write(folder, shape)
    bench.tell(shape=shape, made_in_seconds=round(time.perf_counter() - started, 1))
    student = made(folder)
    started = time.perf_counter()
    base = student.models.for_training()
    parameters = sum(one.numel() * (2 if one.dtype.itemsize == 1 else 1) for one in base.parameters())
    bench.tell(
        shape=shape,
        loaded_in_nf4_seconds=round(time.perf_counter() - started, 1),
        gigabytes=peak(),
        parameters=parameters,
    )
    small = parameters < 1e9
    tries = [(16, False)] if small else [(8, True), (4, False)] if brief else [(16, True), (8, True), (8, False)]
    for micro, checkpointing in tries:
        bench.try_to(instruct, student, shape, length=512, micro=micro, checkpointing=checkpointing)
    bench.try_to(instruct, student, shape, length=1024, micro=max(4, tries[0][0] // 2), checkpointing=not small)
    adapter = folder / "adapter"
    if not adapter.is_dir():
        # What the others start from, where instruct is not asked for.
        instruct(bench, student, shape, length=512, micro=tries[0][0], checkpointing=not small)
    bench.try_to(refine, student, shape, length=512, micro=tries[0][0] // 2, checkpointing=not small)
    answers = [("sitkit", 64), ("sitkit", 256), ("sitkit", 1024)] if small and not brief else [("sitkit", 256)]
    answers += [] if brief else [("generate", 64), ("generate", 256)]
    for turn in range(1 if brief else 2):
        for side, rows in answers[:: 1 - 2 * turn]:
            bench.try_to(answer, student, shape, adapter, side, rows=rows)
    if not brief:
        for turn in range(2):
            for side in ("sitkit", "sitkit, in groups", "trl")[:: 1 - 2 * turn]:
                bench.try_to(beside_dpo, student, shape, side, micro=4, checkpointing=not small)
        for turn in range(2):
            for side in ("sitkit", "sitkit, in groups", "trl", "trl, grouped")[:: 1 - 2 * turn]:
                bench.try_to(beside_sft, student, shape, side, micro=8, checkpointing=not small)
        bench.try_to(beside_sft, student, shape, "trl, liger", micro=8, checkpointing=not small)
    student.close()


def write(folder: Path, shape: str) -> None:
    """Write a random model of the shape, made on the card in bfloat16, with a tokenizer of one token a byte."""
    import torch
    import transformers

    from tests.sitkit_hf.conftest import write_model

    kind, sizes = SHAPES[shape]
    # The tokenizer is that of the tests' tiny model, whose weights are then written over.
    write_model(folder, seed=0, chat=False, positions=256, dropout=0.0)
    config = getattr(transformers, kind)(**{**COMMON, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **sizes})
    with torch.device("cuda"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with silent():
        model.save_pretrained(folder)
    del model
    if (folder / "model.safetensors.index.json").is_file():
        (folder / "model.safetensors").unlink()
    free()


def made(folder: Path) -> Any:
    """Return the student on the card: nf4 where trained, bfloat16 where asked."""
    import sitkit_hf
    from sitkit.spec import Spec
    from sitkit.types import Context

    return sitkit_hf.hf_student(Spec("hf", str(folder), {"device": "cuda"}), Context())


def free() -> None:
    """Give memory back, and count its peak anew."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def peak() -> float:
    """Return the most memory held since `free`, in GB."""
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e9, 2)


def text(rng: random.Random, length: int) -> str:
    """Return text of so many tokens."""
    return "".join(rng.choices("abcdefghijklmnop 0123456789", k=length))


def demonstrations(count: int, length: int, *, ragged: bool = False) -> list[Demonstration]:
    """Return examples of so many tokens, a quarter of them the prompt; ``ragged``: of a third to all of that."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        whole = rng.randint(length // 3, length) if ragged else length
        prompt = whole // 4
        # A blank before the completion, the start and the end token.
        answer = whole - prompt - 3
        rows.append(Demonstration(f"{number}", "random", text(rng, prompt), text(rng, answer), "gold", True))
    return rows


def pairs(count: int, length: int, *, ragged: bool = False) -> list[PreferencePair]:
    """Return pairs whose chosen side has so many tokens, and whose rejected side a third of its answer."""
    rng = random.Random(1)
    return [
        PreferencePair(
            row.question_id,
            "random",
            row.prompt,
            row.completion,
            text(rng, len(row.completion) // 3),
            "teacher",
            True,
            False,
        )
        for row in demonstrations(count, length, ragged=ragged)
    ]


def both_sides(given: Sequence[PreferencePair]) -> int:
    """Return the tokens of both sides, each with its prompt."""
    return sum(2 * len(one.prompt) + len(one.chosen) + len(one.rejected) for one in given)


@contextlib.contextmanager
def silent() -> Any:
    """Keep bars and notes away."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def grouped(side: str) -> Any:
    """Take all rows in one forward pass, as sitkit does on a GPU, or in groups of like length, as on a CPU."""
    from sitkit_hf import fast_logprobs

    kept = fast_logprobs._ONE_GROUP
    if "in groups" in side:
        fast_logprobs._ONE_GROUP = fast_logprobs.FORWARD
    try:
        yield
    finally:
        fast_logprobs._ONE_GROUP = kept


class Steps:
    """When each step of a training ended."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        if done:
            self.at.append(time.perf_counter())

    def seconds(self) -> float:
        """Return the seconds of a step, the first two left out."""
        return (self.at[-1] - self.at[1]) / (len(self.at) - 2)


def rates(bench: Bench, student: Any, tokens: float, seconds: float) -> dict[str, object]:
    """Return tokens a second and the share of the card's rate; ``tokens`` are a step's."""
    base = student.models.base()
    weights = sum(one.numel() * (2 if one.dtype.itemsize == 1 else 1) for one in base.parameters())
    weights -= base.get_input_embeddings().weight.numel()
    return {
        "tokens_per_second": round(tokens / seconds),
        "seconds_a_step": round(seconds, 3),
        "share_of_matrix_rate": round(4 * weights * tokens / seconds / bench.rate, 3),
        "peak_gigabytes": peak(),
    }


def train_settings(kind: Any, micro: int, length: int, checkpointing: bool, batch: int) -> Any:
    """Return settings of a short training; ``micro`` examples at once, ``batch`` a step."""
    settings = kind(
        max_steps=STEPS,
        batch_size=batch,
        micro_batch_size=micro,
        max_length=length,
        gradient_checkpointing=checkpointing,
        learning_rate=1e-4,
        save_steps=1000,
    )
    return replace(settings, validation=0.0, warmup=0.0) if kind is RefineSettings else settings


def instruct(bench: Bench, student: Any, shape: str, *, length: int, micro: int, checkpointing: bool) -> None:
    """Instruct on examples of one length; the adapter stays for what follows."""
    free()
    steps, batch = Steps(), max(micro, 16)
    settings = train_settings(InstructSettings, micro, length, checkpointing, batch)
    folder = student.options.folder
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        report = student.instruct(
            demonstrations(batch * STEPS, length),
            settings,
            out=Path(scratch) / "out",
            scratch=Path(scratch) / "scratch",
            seed=0,
            progress=steps,
        )
        if not (folder / "adapter").exists():
            shutil.copytree(Path(scratch) / "out", folder / "adapter")
    bench.tell(
        what="instruct",
        shape=shape,
        length=length,
        micro=int(report.metrics["micro_batch_size"]),
        asked_micro=micro,
        checkpointing=checkpointing,
        **rates(bench, student, batch * length, steps.seconds()),
    )


def refine(bench: Bench, student: Any, shape: str, *, length: int, micro: int, checkpointing: bool) -> None:
    """Refine from the adapter, the reference pass included in the peak; tokens are those of both sides."""
    free()
    steps, batch = Steps(), max(micro, 8)
    given = pairs(batch * STEPS, length)
    settings = train_settings(RefineSettings, micro, length, checkpointing, batch)
    folder = student.options.folder
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        report = student.refine(
            folder / "adapter",
            given,
            Objective(),
            settings,
            out=Path(scratch) / "out",
            scratch=Path(scratch) / "scratch",
            seed=0,
            progress=steps,
        )
    whole = time.perf_counter() - started
    bench.tell(
        what="refine",
        shape=shape,
        length=length,
        micro=int(report.metrics["micro_batch_size"]),
        asked_micro=micro,
        checkpointing=checkpointing,
        whole_seconds=round(whole, 1),
        first_loss=report.metrics["first_loss"],
        **rates(bench, student, both_sides(given) / STEPS, steps.seconds()),
    )


def stock_arguments(folder: str, settings: Any) -> dict[str, Any]:
    """Return what SFTConfig and DPOConfig share."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": settings.batch_size // settings.micro_batch_size,
        "learning_rate": settings.learning_rate,
        "max_steps": settings.max_steps,
        "max_length": settings.max_length,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
    }


def watched(steps: Steps) -> Any:
    """Return a TrainerCallback that notes when steps end."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            steps(state.global_step, state.max_steps)

    return Watch()


def beside_sft(bench: Bench, student: Any, shape: str, side: str, *, micro: int, checkpointing: bool) -> None:
    """Instruct on ragged examples, as sitkit or TRL does it, on the same nf4 base."""
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model

    from sitkit_hf.adapters import adapted

    free()
    steps = Steps()
    rows = demonstrations(16 * STEPS, 512, ragged=True)
    settings = train_settings(InstructSettings, micro, 512, checkpointing, 16)
    with tempfile.TemporaryDirectory() as scratch:
        if side.startswith("sitkit"):
            with grouped(side):
                student.instruct(
                    rows, settings, out=Path(scratch) / "o", scratch=Path(scratch) / "s", seed=0, progress=steps
                )
        else:
            config = LoraConfig(r=64, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear")
            with adapted(student.models, lambda base: get_peft_model(base, config)) as model, silent():
                from trl import SFTConfig, SFTTrainer

                trainer = SFTTrainer(
                    model=model,
                    args=SFTConfig(
                        **stock_arguments(scratch, settings),
                        completion_only_loss=True,
                        use_liger_kernel="liger" in side,
                        train_sampling_strategy="group_by_length" if "grouped" in side else "random",
                    ),
                    train_dataset=Dataset.from_list(
                        [{"prompt": row.prompt, "completion": f" {row.completion}"} for row in rows]
                    ),
                    processing_class=student.models.tokenizer(),
                    callbacks=[watched(steps)],
                )
                trainer.train()
    tokens = sum(len(row.prompt) + len(row.completion) + 3 for row in rows) / STEPS
    told = rates(bench, student, tokens, steps.seconds())
    bench.tell(what="instruct, ragged", shape=shape, side=side, micro=micro, checkpointing=checkpointing, **told)


def beside_dpo(bench: Bench, student: Any, shape: str, side: str, *, micro: int, checkpointing: bool) -> None:
    """Refine on ragged pairs, as sitkit or TRL (references taken once) does it, on the same nf4 base."""
    from datasets import Dataset
    from peft import PeftModel

    from sitkit_hf.adapters import adapted

    free()
    steps = Steps()
    given = pairs(8 * STEPS, 512, ragged=True)
    settings = train_settings(RefineSettings, micro, 512, checkpointing, 8)
    start = student.options.folder / "adapter"
    with tempfile.TemporaryDirectory() as scratch:
        if side.startswith("sitkit"):
            with grouped(side):
                student.refine(
                    start,
                    given,
                    Objective(),
                    settings,
                    out=Path(scratch) / "o",
                    scratch=Path(scratch) / "s",
                    seed=0,
                    progress=steps,
                )
        else:

            def attach(base: Any) -> Any:
                return PeftModel.from_pretrained(base, str(start), is_trainable=True)

            with adapted(student.models, attach) as model, silent():
                from trl import DPOConfig, DPOTrainer

                trainer = DPOTrainer(
                    model=model,
                    args=DPOConfig(**stock_arguments(scratch, settings), precompute_ref_log_probs=True),
                    train_dataset=Dataset.from_list(
                        [
                            {"prompt": one.prompt, "chosen": f" {one.chosen}", "rejected": f" {one.rejected}"}
                            for one in given
                        ]
                    ),
                    processing_class=student.models.tokenizer(),
                    callbacks=[watched(steps)],
                )
                trainer.train()
    told = rates(bench, student, both_sides(given) / STEPS, steps.seconds())
    bench.tell(what="refine, ragged", shape=shape, side=side, micro=micro, checkpointing=checkpointing, **told)


def answer(bench: Bench, student: Any, shape: str, adapter: Path, side: str, *, rows: int) -> None:
    """Answer prompts of 256 tokens with 128 more, sampled; one batch, the adapter merged in."""
    import torch

    rng = random.Random(2)
    asked = [Prompt(f"{number}", text(rng, 255)) for number in range(max(rows, 256))]
    started = time.perf_counter()
    model = student.models.generator(adapter)
    merged = time.perf_counter() - started
    free()
    torch.cuda.synchronize()
    started, written = time.perf_counter(), 0
    if side == "sitkit":
        from sitkit_hf.generation import complete

        for one in complete(model, _prompts(student), asked, Generation(128, 1.0, seed=0), batch_size=rows):
            written += len(one.text)
        told: dict[str, object] = {"characters": written}
    else:
        tokenizer = student.models.tokenizer()
        told = {}
        for first in range(0, len(asked), rows):
            batch = tokenizer([one.text for one in asked[first : first + rows]], return_tensors="pt", padding=True)
            model.generate(**batch.to("cuda"), max_new_tokens=128, do_sample=True, temperature=1.0, top_k=0)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    bench.tell(
        what="sampling",
        shape=shape,
        side=side,
        rows=rows,
        prompts=len(asked),
        merged_seconds=round(merged, 1),
        seconds=round(seconds, 2),
        # Of random weights next to none end early.
        tokens_per_second=round(128 * len(asked) / seconds),
        peak_gigabytes=peak(),
        **told,
    )


def _prompts(student: Any) -> Any:
    from sitkit.plugin_support import end_tokens
    from sitkit_hf.prompts import Prompts

    return Prompts(student.models.tokenizer(), student.options, end_tokens(student.models.base().generation_config))


if __name__ == "__main__":
    sys.exit(main())
