from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sitkit.errors import ModelError
from sitkit_hf.options import Options
from sitkit_hf.prompts import Prompts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def prompts(folder: Path, ends: tuple[int, ...] = (), **options: Any) -> Prompts:
    return Prompts(tokenizer(folder), Options(model="m", **options), ends)


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Prompts:
    return prompts(tiny)


@pytest.fixture(scope="module")
def templated(chatty: Path) -> Prompts:
    return prompts(chatty)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=TEXT, completion=TEXT)
def test_training_sees_the_prefix_that_generation_starts_from(
    plain: Prompts, templated: Prompts, prompt: str, completion: str
) -> None:
    for joined in (plain, templated):
        head, tail = joined.joined(prompt, completion)
        assert head == joined.prompt(prompt)
        assert tail[-1] in joined.ends
        assert not set(tail[:-1]) & set(joined.ends)
        text = joined.tokenizer.decode(tail[:-1], skip_special_tokens=False)
        assert text.strip() == completion.strip()


def test_plain_text_is_prompt_blank_completion_end(plain: Prompts) -> None:
    head, tail = plain.joined("Question: 1+1?\nAnswer:", "  It is 2.\n")
    assert plain.tokenizer.decode(head) == "Question: 1+1?\nAnswer:"
    assert plain.tokenizer.decode(tail) == " It is 2.</s>"


def test_a_template_makes_the_prompt_a_user_turn_and_the_completion_the_assistants(chatty: Path) -> None:
    joined = prompts(chatty, system="Be brief.")
    head, tail = joined.joined("1+1?", "2")
    assert joined.tokenizer.decode(head) == "<|system|>Be brief.</s>\n<|user|>1+1?</s>\n<|assistant|>"
    # The template's line break after the end of the turn is not learnt: generation ends before it.
    assert joined.tokenizer.decode(tail) == "2</s>"


def test_a_further_end_token_of_the_model_ends_a_turn(chatty: Path) -> None:
    joined = prompts(chatty, ends=(5,))
    joined.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|system|>{% endfor %}"
    _, tail = joined.joined("1+1?", "2")
    assert tail[-1] == 5


def test_a_template_that_thinks_is_told_not_to(chatty: Path) -> None:
    joined = prompts(chatty)
    joined.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}</s>"
        "{% endfor %}{% if add_generation_prompt and enable_thinking is false %}<think></think>{% endif %}"
    )
    head, tail = joined.joined("1+1?", "2")
    assert joined.tokenizer.decode(head).endswith("<think></think>")
    assert joined.tokenizer.decode(tail) == "2</s>"


def test_tokens_that_merge_across_the_boundary_do_not_change_the_prefix(tiny: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["</s>", *letters, "Ġ2", ":Ġ2"]
    merging = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[("Ġ", "2"), (":", "Ġ2")]))
    merging.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    merging.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=merging, eos_token="</s>")
    joined = Prompts(fast, Options(model="m"))
    assert fast("a: 2")["input_ids"][:2] != fast("a:")["input_ids"]
    head, tail = joined.joined("a:", "2")
    assert head == fast("a:")["input_ids"]
    assert fast.decode(tail) == " 2</s>"


def test_a_tokenizer_that_closes_every_text_does_not_end_the_prompt(tiny: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    closing = tokenizer(tiny)
    closing._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    joined = Prompts(closing, Options(model="m"))
    head, tail = joined.joined("Hi", "yes")
    assert head[0] == 1
    assert 2 not in head
    assert tail.count(2) == 1


def test_a_chat_template_that_is_not_there_cannot_be_asked_for(tiny: Path) -> None:
    with pytest.raises(ModelError, match="chat_template=on"):
        prompts(tiny, chat_template="on")
    with pytest.raises(ModelError, match="system="):
        prompts(tiny, system="Be brief.")


def test_off_leaves_the_template_out(chatty: Path) -> None:
    joined = prompts(chatty, chat_template="off")
    assert joined.tokenizer.decode(joined.prompt("Hi")) == "Hi"


def test_a_template_that_refuses_is_one_line(chatty: Path) -> None:
    joined = prompts(chatty)
    joined.tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(ModelError, match="no system role"):
        joined.prompt("Hi")
