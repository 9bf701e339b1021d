"""SPECs: what people type after --teacher and --student."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.errors import SpecError
from sitkit.spec import Spec, boolean, parse_spec, split_specs

KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters=",= \t\n\r", exclude_categories=["Z", "C"]), max_size=12
)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tiny", Spec("tiny")),
        (
            "hf:meta-llama/Llama-2-7b-chat-hf,quantize=nf4",
            Spec("hf", "meta-llama/Llama-2-7b-chat-hf", {"quantize": "nf4"}),
        ),
        ("hf:./my-model", Spec("hf", "./my-model")),
        ("file:C:\\demos, final.jsonl", Spec("file", "C:\\demos, final.jsonl")),
        ("openai:gpt,base_url=http://x:1/v1,seed=3", Spec("openai", "gpt", {"base_url": "http://x:1/v1", "seed": "3"})),
        ("tiny,slip_rate=0.5", Spec("tiny", None, {"slip_rate": "0.5"})),
        ("x:a,empty=", Spec("x", "a", {"empty": ""})),
    ],
)
def test_reads_what_lm_eval_users_write(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", ["", ":x", "hf:", "a b", "tiny,what", "tiny,a=1,a=2", ",a=1"])
def test_refuses_what_is_malformed_and_quotes_it(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert repr(text.strip()) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(NAMES, st.none() | VALUES.filter(bool), st.dictionaries(KEYS, VALUES, max_size=3))
def test_writing_and_reading_are_inverse(name: str, argument: str | None, options: dict[str, str]) -> None:
    spec = Spec(name, argument, options)
    assert parse_spec(str(spec)) == spec


@given(st.text())
def test_any_text_is_a_spec_or_one_clear_line(text: str) -> None:
    with contextlib.suppress(SpecError):
        parse_spec(text)


def test_options_are_read_by_type_and_the_nearest_is_suggested() -> None:
    spec = Spec("hf", "x", {"trust_remote_code": "yes"})
    assert spec.parse_options({"trust_remote_code": boolean}) == {"trust_remote_code": True}
    with pytest.raises(SpecError, match="did you mean 'quantize'"):
        Spec("hf", "x", {"quantise": "nf4"}).parse_options({"quantize": str})
    with pytest.raises(SpecError, match="expected true or false"):
        Spec("hf", "x", {"trust_remote_code": "maybe"}).parse_options({"trust_remote_code": boolean})


@pytest.mark.parametrize(("read", "text"), [(int, "１２"), (float, "٣.٥"), (int, "\u2003" + "12")])
def test_numbers_of_a_spec_are_written_in_the_digits_0_to_9(read: Callable[[str], object], text: str) -> None:
    assert read(text)
    with pytest.raises(SpecError, match="digits 0 to 9"):
        Spec("hf", "x", {"batch": text}).parse_options({"batch": read})
    assert Spec("hf", "x", {"name": text}).parse_options({"name": str}) == {"name": text}


def test_a_list_with_commas_keeps_options_with_their_spec() -> None:
    text = "file:a,b.jsonl , gsm8k,file:/x/y.jsonl,question=context+stem, kind=math ,,obqa"
    assert split_specs(text) == [
        "file:a", "b.jsonl", "gsm8k", "file:/x/y.jsonl,question=context+stem,kind=math", "obqa"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Qwen/Qwen3-0.6B,quantize=none", "a model is hf:Qwen/Qwen3-0.6B,quantize=none"),
        ("./models/mine", "a model is hf:./models/mine"),
        ("~/mine/train.jsonl", "questions of a file are file:~/mine/train.jsonl"),
        ("-x", "got the name '-x'"),
    ],
)
def test_a_place_without_a_name_says_which_name_it_needs(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert str(caught.value).endswith(said)
