"""A random tiny Llama with a byte-level tokenizer, made from a config: real parts, seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.settings import InstructSettings
from sitkit.spec import Spec
from sitkit.types import Context, Demonstration, PreferencePair, Student

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_model(folder: Path, *, seed: int, chat: bool, positions: int, dropout: float) -> Path:
    """Write a Llama of 2 layers and width 32 with random weights, and a byte-level BPE tokenizer without merges."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(special + letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special[3:],
        clean_up_tokenization_spaces=False,
    )
    if chat:
        fast.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(special) + len(letters),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
        attention_dropout=dropout,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(*, seed: int = 0, chat: bool = False, positions: int = 256, dropout: float = 0.0) -> Path:
        folder = tmp_path_factory.mktemp("models") / "tiny"
        return write_model(folder, seed=seed, chat=chat, positions=positions, dropout=dropout)

    return make


@pytest.fixture(scope="session")
def tiny(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture(scope="session")
def chatty(make_model: Callable[..., Path]) -> Path:
    return make_model(seed=1, chat=True)


@pytest.fixture(scope="session")
def make_student() -> Callable[..., Any]:
    def make(folder: Path, **options: str) -> Student:
        import sitkit_hf

        return sitkit_hf.hf_student(Spec("hf", str(folder), options), Context())

    return make


@pytest.fixture(scope="session")
def student(tiny: Path, make_student: Callable[..., Any]) -> Any:
    return make_student(tiny)


def question(number: int) -> str:
    return f"Question: what is {number} plus {number * 7 % 23}?\nAnswer:"


@pytest.fixture(scope="session")
def demonstrations() -> Sequence[Demonstration]:
    return [
        Demonstration(f"q{n}", "sums", question(n), f"Adding gives {n + n * 7 % 23}.", "gold", True) for n in range(24)
    ]


@pytest.fixture(scope="session")
def pairs() -> Sequence[PreferencePair]:
    return [
        PreferencePair(
            f"q{n}", "sums", question(n), f"Adding gives {n + n * 7 % 23}.", f"It is {n}", "teacher", True, False
        )
        for n in range(24)
    ]


@pytest.fixture(scope="session")
def quick() -> InstructSettings:
    """Settings that teach the tiny model something within a second."""
    return InstructSettings(epochs=8, batch_size=8, learning_rate=5e-3, lora_r=4, max_length=128, save_steps=5)


@pytest.fixture(scope="session")
def start(
    student: Any, demonstrations: Sequence[Demonstration], quick: InstructSettings, tmp_path_factory: Any
) -> Path:
    """An instruction-tuned adapter of the tiny model."""
    folder: Path = tmp_path_factory.mktemp("instructed")
    student.instruct(
        demonstrations, quick, out=folder / "out", scratch=folder / "scratch", seed=1, progress=lambda *_: None
    )
    return folder / "out"


@pytest.fixture
def work(tmp_path: Path) -> dict[str, Any]:
    """The keyword arguments of a training, in a fresh folder."""
    return {"out": tmp_path / "out", "scratch": tmp_path / "scratch", "seed": 1, "progress": lambda *_: None}


def adapter_bytes(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes() + (folder / "adapter_config.json").read_bytes()


@pytest.fixture(scope="session")
def read_adapter() -> Callable[[Path], bytes]:
    return adapter_bytes


def broken_adapter(folder: Path, out: Path, value: float) -> Path:
    """Copy an adapter, with one number of its last weight replaced."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, out)
    weights = load_file(out / "adapter_model.safetensors")
    list(weights.values())[-1].view(-1)[-1] = value
    save_file(weights, out / "adapter_model.safetensors", {"format": "pt"})
    return out
