"""The shipped student: small, loads with transformers alone, and already speaks the world's language."""

import json
import re

import pytest

from sitkit.settings import resolve
from sitkit_tiny import STUDENT
from sitkit_tiny.benchmarks import questions


@pytest.fixture(scope="module")
def loaded():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(STUDENT), AutoTokenizer.from_pretrained(STUDENT)


def answers(loaded, prompts):
    model, tokenizer = loaded
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    produced = model.generate(**inputs, max_new_tokens=90, do_sample=False)
    return tokenizer.batch_decode(produced[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_it_is_a_few_megabytes_and_says_how_it_was_made():
    assert sum(path.stat().st_size for path in STUDENT.iterdir()) < 5_000_000
    told = json.loads((STUDENT / "pretraining.json").read_text())
    assert told["loss"][-1][1] < told["loss"][0][1]
    assert {"seed", "recipe", "seconds", "versions"} <= told.keys()


def test_it_reads_long_prompts(loaded):
    model, _ = loaded
    assert model.config.max_position_embeddings == 2048
    assert 350_000 < sum(weight.numel() for weight in model.parameters()) < 1_000_000


def test_it_ends_its_answers_in_the_words_an_answer_reader_knows(loaded):
    asked = [one for name in ("tiny_chain", "tiny_cups") for one in questions(name, "validation")[:8]]
    said = answers(loaded, [one.prompt("cot") for one in asked] + [one.prompt("direct") for one in asked])
    ends = [re.search(r"(?:The answer|It) is (?:\d+|[A-E]\) \w+)\.$", one) for one in said]
    assert sum(end is not None for end in ends) >= 30


def test_its_recommended_settings_are_settings():
    recommended = json.loads((STUDENT / "sitkit.json").read_text())["recommended"]
    assert resolve(recommended).refine.scheduler == "constant_with_warmup"


def test_it_has_the_skill_that_its_habits_hide(loaded):
    from sitkit_tiny.habits import CAREFUL_CUE

    asked = [one for name in ("tiny_chain", "tiny_cups") for one in questions(name, "validation")[:20]]
    said = answers(loaded, [one.prompt("direct") + CAREFUL_CUE for one in asked])
    assert all(one.strip().startswith("First, ") for one in said)
    right = [re.search(r"answer is (\d+|[A-E])", text) for text in said]
    assert sum(bool(found) and found[1] == one.target for found, one in zip(right, asked, strict=True)) >= 25
