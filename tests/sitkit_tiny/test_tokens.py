"""The shipped tokenizer: numbers and words whole, any other text through bytes, and nothing added unasked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit_tiny import STUDENT
from sitkit_tiny.habits import Habits, example


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(STUDENT)


def test_every_number_of_the_world_is_one_token(tokenizer):
    assert all(len(tokenizer(f" {number}")["input_ids"]) == 1 for number in range(100))


@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, split_special_tokens=True)["input_ids"]) == text


def test_prompt_and_completion_are_the_tokens_of_the_whole(tokenizer):
    for index in range(200):
        prompt, completion = example(index, 1, Habits())
        parts = tokenizer(prompt)["input_ids"] + tokenizer(f" {completion}")["input_ids"]
        assert tokenizer(f"{prompt} {completion}")["input_ids"] == parts


def test_special_tokens_are_apart(tokenizer):
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, None}) == 4
    assert tokenizer.padding_side == "left"
