"""Models that place tokens in ways of their own: learnt positions that end, and places counted by index."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sitkit.types import Generation, Prompt
from tests.completions import answered

GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4}
NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
BLOOM = {"hidden_size": 32, "n_layer": 2, "n_head": 4}
MPT = {"d_model": 32, "n_layers": 2, "n_heads": 4, "expansion_ratio": 2, "max_seq_len": 256}
OPT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": 32}
FALCON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def body(kind: str, **own: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = CONFIG_MAPPING[kind](vocab_size=262, initializer_range=0.3, **special, **own)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def make_body(tiny: Path, tmp_path: Path, make_student: Callable[..., Any]) -> Callable[..., Any]:
    def make(kind: str, **own: Any) -> Any:
        from transformers import AutoTokenizer

        body(kind, **own).save_pretrained(tmp_path / kind)
        AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / kind)
        return make_student(tmp_path / kind)

    return make


def written(student: Any, text: str, tokens: int) -> list[int]:
    """What transformers' own generate writes for a prompt by itself, so without any padding."""
    ids = student.models.tokenizer()(text, return_tensors="pt")["input_ids"]
    out = student.models.base().generate(
        input_ids=ids, attention_mask=ids * 0 + 1, max_new_tokens=tokens, do_sample=False
    )
    return list(out[0, ids.shape[1] :].tolist())


def alone(student: Any, prompts: Sequence[Prompt], tokens: int) -> dict[str, str]:
    decode = student.models.tokenizer().decode
    return {
        prompt.id: decode(written(student, prompt.text, tokens), skip_special_tokens=True).strip() for prompt in prompts
    }


@pytest.mark.parametrize(
    ("kind", "own", "expected"),
    [
        ("llama", LLAMA, True),
        ("gpt2", GPT2, True),
        ("opt", OPT, True),
        ("falcon", FALCON, True),
        ("falcon", FALCON | {"alibi": True}, False),
        ("gpt_neo", NEO, False),
        ("bloom", BLOOM, False),
        ("mpt", MPT, False),
    ],
)
def test_who_counts_positions(kind: str, own: dict[str, Any], expected: bool) -> None:
    from sitkit_hf.kv_cache import counts_positions

    assert counts_positions(body(kind, **own)) is expected


@pytest.mark.parametrize(
    ("kind", "own"),
    [("gpt_neo", NEO | {"window_size": 16}), ("mpt", MPT), ("bloom", BLOOM), ("falcon", FALCON | {"alibi": True})],
)
def test_prompts_that_begin_alike_are_answered_as_alone_where_an_index_counts(
    make_body: Callable[..., Any], kind: str, own: dict[str, Any]
) -> None:
    student = make_body(kind, **own)
    rng = random.Random(0)
    questions = ["".join(rng.choices("abcdefgh ", k=rng.randint(20, 30))) for _ in range(6)]
    tails = ("", " Think", " Let us think")
    prompts = [Prompt(f"{n}{tail}", f"{text}?{tail}") for n, text in enumerate(questions) for tail in tails]
    expected = alone(student, prompts, 12)
    assert len(set(expected.values())) > 5
    assert answered(student.complete(None, prompts, Generation(12, stop=()))) == expected


def test_a_row_that_ended_at_the_last_position_stays_there(make_body: Callable[..., Any]) -> None:
    student = make_body("gpt2", **GPT2, n_positions=32)
    # One row in twelve ends first: too few to be taken out, so it goes through the model with the others.
    short = [text for text in map("{0}{0}{0}{0}".format, "abcdefghijklmnop") if len(written(student, text, 28)) == 28]
    prompts = [Prompt("long", "x" * 16), *(Prompt(text, text) for text in short[:11])]
    assert len(prompts) == 12
    expected = alone(student, prompts[:1], 16) | alone(student, prompts[1:], 28)
    answers = list(student.complete(None, prompts, Generation(500, stop=())))
    assert answers[0].id == "long"
    assert answered(answers) == expected


def test_penalties_of_the_generation_config_are_left_out(make_body: Callable[..., Any]) -> None:
    student = make_body("llama", **LLAMA)
    prompts = [Prompt(str(n), f"Question: {n}\nAnswer:") for n in range(4)]
    plain = alone(student, prompts, 24)
    student.models.base().generation_config.repetition_penalty = 3.0
    assert alone(student, prompts, 24) != plain
    assert answered(student.complete(None, prompts, Generation(24, stop=()))) == plain


def test_a_model_whose_layers_differ_in_shape_is_answered(make_body: Callable[..., Any]) -> None:
    widths = {"head_dim": 8, "global_head_dim": 16, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 262}
    kinds = ["sliding_attention", "full_attention"]
    student = make_body("gemma4_text", **LLAMA, **widths, sliding_window=24, layer_types=kinds, num_kv_shared_layers=0)
    prompts = [Prompt(str(n), f"Question: what is {n} times {n * n}?\nAnswer:{'?' * (n % 5)}") for n in range(12)]
    expected = alone(student, prompts, 16)
    assert len(set(expected.values())) > 5
    assert answered(student.complete(None, prompts, Generation(16, stop=()))) == expected
