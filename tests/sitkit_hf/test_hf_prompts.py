from __future__ import annotations

import re
import threading
import time
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=TEXT, completion=TEXT)
def test_a_completion_that_was_cut_is_the_same_without_its_end(
    plain: Prompts, templated: Prompts, prompt: str, completion: str
) -> None:
    for joined in (plain, templated):
        head, tail = joined.joined(prompt, completion)
        assert joined.joined(prompt, completion, truncated=True) == (head, tail[:-1])


def test_nothing_that_stands_after_a_turn_follows_a_completion_that_was_cut(tiny: Path, chatty: Path) -> None:
    in_brackets = with_template(tiny, IN_BRACKETS)
    assert in_brackets.tokenizer.decode(in_brackets.joined("1+1?", "2 and", truncated=True)[1]) == " 2 and"
    further = prompts(chatty, ends=(5,))
    further.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|system|>{% endfor %}"
    assert further.tokenizer.decode(further.joined("1+1?", "1", truncated=True)[1]) == "1"


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
    assert joined.joined("Hi", "yes", truncated=True) == (head, tail[:-1])


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


NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role here') }}"
    "{% endif %}<|{{ 'model' if m.role == 'assistant' else m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|model|>\n{% endif %}"
)
"""In the manner of Gemma's: it writes the first token itself and refuses a system message."""

IN_BRACKETS = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content | trim }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
"""In the manner of Llama 2's and Mistral's: nothing marks the assistant's turn, a blank stands before and after it."""


def with_template(folder: Path, template: str, **options: Any) -> Prompts:
    tokens = tokenizer(folder)
    tokens.chat_template = template
    return Prompts(tokens, Options(model="m", **options))


def test_a_template_that_writes_the_first_token_gets_no_second_one(tiny: Path) -> None:
    joined = with_template(tiny, NO_SYSTEM)
    head, tail = joined.joined("1+1?", "2")
    assert joined.tokenizer.decode(head) == "<s><|user|>1+1?</s>\n<|model|>\n"
    assert joined.tokenizer.decode(tail) == "2</s>"


def test_a_template_without_a_system_role_refuses_one_in_one_line(tiny: Path) -> None:
    with pytest.raises(ModelError, match="no system role here"):
        with_template(tiny, NO_SYSTEM, system="Be brief.")


def test_a_template_in_brackets_ends_the_turn_with_the_end_of_sequence(tiny: Path) -> None:
    joined = with_template(tiny, IN_BRACKETS)
    head, tail = joined.joined("1+1?", "2")
    assert joined.tokenizer.decode(head) == "<s>[INST] 1+1? [/INST]"
    assert joined.tokenizer.decode(tail) == " 2 </s>"


FOR_EVER = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (FOR_EVER, "the chat template of m does not end within 0.2 s; chat_template=off leaves it out"),
        ("{{ 1 // 0 }}", "the chat template of m fails: ZeroDivisionError integer"),
        ("{{ 'x' * 10 ** 18 }}", "the chat template of m fails: MemoryError"),
        ("{% for a in range(999999) %}{% endfor %}", "the chat template of m fails: OverflowError Range too big"),
        ("{% for a in", "the chat template of m refuses these messages: "),
    ],
)
def test_a_template_that_never_ends_or_fails_is_one_line(
    chatty: Path, monkeypatch: pytest.MonkeyPatch, template: str, said: str
) -> None:
    monkeypatch.setattr("sitkit.plugin_support.TEMPLATE_SECONDS", 0.2)
    before = threading.active_count()
    with pytest.raises(ModelError, match=re.escape(said)) as raised:
        with_template(chatty, template)
    assert "\n" not in str(raised.value)
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() == before, "what does not end is stopped"
