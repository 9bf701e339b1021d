"""Both engines start from the same tokens, whatever the options and the template."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitkit.errors import ModelError
from sitkit.plugin_support import PromptTokenizer, end_tokens
from sitkit.spec import Spec
from sitkit_hf.loading import Models
from sitkit_hf.options import parse_options
from sitkit_hf.prompts import Prompts
from sitkit_vllm.generation import load_prompts
from sitkit_vllm.options import Options, read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def both(folder: Path, **options: str) -> tuple[Prompts, PromptTokenizer]:
    models = Models(parse_options(Spec("hf", str(folder), {"device": "cpu", **options})))
    hf = Prompts(models.tokenizer(), models.options, end_tokens(models.base().generation_config))
    _, engine = read(Spec("vllm", str(folder), options), lambda spec: spec)
    return hf, load_prompts(engine)


@pytest.fixture(scope="module")
def pairs(model: Path, chatty: Path) -> Any:
    return [both(model), both(chatty), both(chatty, chat_template="off"), both(chatty, system="Be brief.")]


@settings(max_examples=60, deadline=None)
@given(text=TEXT)
def test_the_tokens_are_those_of_the_student_hf(pairs: Any, text: str) -> None:
    for hf, engine in pairs:
        assert engine.prompt(text) == hf.prompt(text)


def test_the_kinds_of_prompts_differ(pairs: Any) -> None:
    assert len({tuple(engine.prompt("Hi")) for _, engine in pairs[1:]}) == 3


THINKERS = [
    "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is false %}<think></think>{% endif %}",
    "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}",
]


@pytest.mark.parametrize("template", THINKERS)
@pytest.mark.parametrize("thinking", ["yes", "no"])
def test_templates_that_think_are_told_what_hf_tells_them(
    chatty: Path, tmp_path: Path, template: str, thinking: str
) -> None:
    shutil.copytree(chatty, tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")
    hf, engine = both(tmp_path / "model", thinking=thinking)
    assert engine.prompt("Hi") == hf.prompt("Hi")
    assert engine.opening == hf.opening
    text = engine.tokenizer.decode(engine.prompt("Hi"))
    assert ("</think>" in text) == (thinking == "no")
    assert bool(engine.opening) == (thinking == "yes" and template == THINKERS[1])


def test_a_tokenizer_that_closes_every_text_does_not_end_the_prompt(model: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    hf, engine = both(model)
    for tokenizer in (hf.tokenizer, engine.tokenizer):
        tokenizer._tokenizer.post_processor = TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    assert engine.prompt("Hi") == hf.prompt("Hi")
    assert 2 not in engine.prompt("Hi")


def test_what_cannot_be_is_one_line(model: Path, chatty: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="chat_template=on"):
        load_prompts(Options(model=str(model), chat_template="on"))
    with pytest.raises(ModelError, match="system="):
        load_prompts(Options(model=str(model), system="Be brief."))
    with pytest.raises(ModelError, match="thinking=true needs"):
        load_prompts(Options(model=str(model), thinking=True))
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        load_prompts(Options(model=str(tmp_path)))
    prompts = load_prompts(Options(model=str(chatty)))
    prompts.tokenizer.chat_template = "{{ raise_exception('no user role') }}"
    with pytest.raises(ModelError, match="no user role"):
        prompts.prompt("Hi")
