"""What is worked on: the embedded student on the embedded world; a Llama made from a config, and smol, on GSM8K."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit.types import Demonstration, Generation, PreferencePair, Prompt, Question
from sitkit_hf.options import has_bfloat16
from tests.speed.measure import Options

EMBEDDED, LLAMA, MIDDLE, SEVEN, SMOL = "embedded", "llama", "llama-98m", "llama-7b", "smol"

SHAPES: dict[str, dict[str, int]] = {
    LLAMA: {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8},
    MIDDLE: {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12},
    # Llama-2-7b's shape, for a GPU.
    SEVEN: {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
}
VOCABULARY = {LLAMA: 8192, MIDDLE: 8192, SEVEN: 32000}
TOKENS = 4096
"""Tokens of the tokenizer, trained on the texts; the models' vocabularies are larger."""

ENDING = 1 / 50
"""The chance that a random model's next token ends the answer: as lengths of answers are, some are short, few long."""


@dataclass(frozen=True)
class Work:
    """A model folder, training questions, how long answers may get, and where and how the model is run.

    ``quantized``: training stands on 4-bit weights (QLoRA), as sitkit does on CUDA.
    """

    name: str
    model: Path
    questions: Sequence[Question]
    max_new_tokens: int
    temperature: float
    device: str = "cpu"
    quantized: bool = False

    def prompts(self) -> list[Prompt]:
        """Return both prompts of every question, as the sampling stage asks them."""
        return [
            Prompt(f"{prompting}|{question.id}", question.prompt(prompting))
            for question in self.questions
            for prompting in ("direct", "cot")
        ]

    @property
    def label(self) -> str:
        """The name, and the device where it is not the CPU."""
        return self.name if self.device == "cpu" else f"{self.name} on {self.device}"

    @property
    def dtype(self) -> str:
        """The dtype of full-precision weights, for both sides."""
        if self.name == SMOL and self.device == "cpu":
            return "bfloat16" if has_bfloat16() else "float32"
        return "float32" if self.device == "cpu" and not self.quantized else "bfloat16"

    @property
    def attention(self) -> str:
        """The attention that the peer trains with: the faster of the two there are without another package."""
        return "eager" if self.name == SMOL and self.device == "cpu" and self.dtype == "bfloat16" else "sdpa"

    def student(self, *, trains: bool = False) -> Any:
        """Return sitkit's student on this model; one that only answers stands on full-precision weights."""
        from sitkit.spec import Spec
        from sitkit.types import Context
        from sitkit_hf import hf_student

        quantize = "nf4" if trains and self.quantized else "none"
        options = {"device": self.device, "dtype": self.dtype, "quantize": quantize, "chat_template": "off"}
        return hf_student(Spec("hf", str(self.model), options), Context())

    def demonstrations(self) -> list[Demonstration]:
        """Return a worked answer to every question."""
        return [
            Demonstration(one.id, one.benchmark, one.prompt("cot"), one.solution or one.target_text, "gold", True)
            for one in self.questions
        ]

    def pairs(self) -> list[PreferencePair]:
        """Return a pair for every question: worked answer over short one."""
        return [
            PreferencePair(
                one.id,
                one.benchmark,
                one.prompt("cot"),
                one.solution or one.target_text,
                f"The answer is {one.target}.",
                "teacher",
                True,
                False,
            )
            for one in self.questions
        ]


def shapes(options: Options) -> list[str]:
    """Return the works asked for but the embedded one."""
    return [work for work in options.works if work != EMBEDDED]


def micro(work: Work) -> int:
    """Return how many examples both sides train on at once: all of a step's, but for those that would not fit."""
    return 4 if work.name in (SEVEN, SMOL) else 0


def made(count: int, shape: str, options: Options) -> Work:
    """Return a work by its name."""
    if shape == SMOL:
        return smol(count, options.data, options.device)
    return llama(count, options.folder, options.data, shape, options.device)


def smol(count: int, data: Path | None, device: str = "cpu") -> Work:
    """Return SmolLM2-135M-Instruct, without its chat template, on GSM8K's training questions (or made-up text)."""
    from sitkit.registry import load_plugins
    from sitkit.spec import parse_spec

    student: Any = load_plugins().student(parse_spec("smol"))
    questions = _gsm8k(data, count) if data is not None else _ragged(count)
    return Work(SMOL, Path(student.models.place()), questions, 128, 1.0, device, quantized=device == "cuda")


def embedded(count: int) -> Work:
    """Return the embedded student with this many of its training questions, worked out by the scripted teacher."""
    import dataclasses

    from sitkit_tiny import STUDENT
    from sitkit_tiny.benchmarks import questions
    from sitkit_tiny.teacher import ScriptedTeacher

    asked = [one for name in ("tiny_chain", "tiny_cups") for one in questions(name, "train")[: count // 2]]
    worked = dict(ScriptedTeacher(0.0).answer(asked, "cot", Generation(512)))
    solved = [dataclasses.replace(one, solution=worked.get(one.id)) for one in asked]
    return Work(EMBEDDED, STUDENT, solved, 96, 0.7)


def llama(count: int, folder: Path, data: Path | None, shape: str = LLAMA, device: str = "cpu") -> Work:
    """Return a random Llama with a tokenizer of its own, and GSM8K's training questions (or made-up ragged text).

    A random model would never end an answer, so about one in fifty of its tokens is an end token.
    """
    questions = _gsm8k(data, count) if data is not None else _ragged(count)
    model = folder / shape
    if not model.is_dir():
        _write_model(model, shape, [f"{one.prompt('cot')} {one.solution}" for one in questions], device)
    return Work(shape, model, questions, 128, 1.0, device, quantized=device == "cuda")


def _gsm8k(data: Path, count: int) -> list[Question]:
    with gzip.open(data / "gsm8k" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [
        _question(index, row["question"], *(part.strip() for part in row["answer"].rsplit("####", 1)))
        for index, row in enumerate(rows)
    ]


def _ragged(count: int) -> list[Question]:
    rng = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "lto", "mi")]

    def text(low: int, high: int) -> str:
        return " ".join(rng.choices(words, k=round(rng.triangular(low, high, low * 2))))

    return [_question(index, text(15, 120), text(20, 180), str(index)) for index in range(count)]


def _question(index: int, question: str, solution: str, target: str) -> Question:
    instruction = "Answer the following mathematical question with numerical solution."
    return Question(str(index), "ragged", "number", instruction, question, None, target, solution)


def _write_model(folder: Path, shape: str, texts: Sequence[str], device: str) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=TOKENS,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    size = VOCABULARY[shape]
    # Above what the tokenizer uses, so that no text to learn from holds one.
    ends = range(TOKENS, TOKENS + round(size * ENDING))
    config = LlamaConfig(
        **SHAPES[shape],
        vocab_size=size,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    # In float32, or on a CPU, seven billion random numbers would take long and 27 GB.
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.generation_config = GenerationConfig(bos_token_id=1, pad_token_id=0, eos_token_id=[2, *ends])
    model.save_pretrained(folder)
