"""Thought is told apart from the answer, whatever the block is called and wherever it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.answers.thinking import apart, without_thoughts

PLAIN = st.text(alphabet=st.characters(blacklist_characters="<>[]"))
TAGS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<Think>", "</THINK>"),
]


@pytest.mark.parametrize(
    ("text", "thought", "answer", "closed"),
    [
        (" \n<THINK>\na\n</THINK>\n\nb\n", "a", "b", True),
        ("<think></think>b", "", "b", True),
        ("<think>a</think><think>c</think>b", "a\nc", "b", True),
        ("<think>a</think>[THINK]c[/THINK]b", "a\nc", "b", True),
        ("a</think>b", "a", "b", True),
        ("a</think>c</think>b", "a\nc", "b", True),
        ("<think>a", "a", "", False),
        ("<think>a</thinking", "a</thinking", "", False),
        ("x <think>a</think> B", "a", "B", True),
        ("b <think>a</think>", "a", "b", True),
        ("b", "", "b", True),
        ("  b\n", "", "b", True),
        ("<thought>tags like <think> and </think>.</thought>b", "tags like <think> and </think>.", "b", True),
        ("<thinking>a</think>b", "a", "b", True),
        ("<thinking>a</think>b<think>c</think>d", "a\nc", "d", True),
        ("<reasoning>a</reasoning>b<think>c", "a\nc", "", False),
        ("", "", "", True),
    ],
)
def test_blocks(text: str, thought: str, answer: str, closed: bool) -> None:
    assert apart(text) == (thought, answer, closed)


@given(st.sampled_from(TAGS), PLAIN, PLAIN, PLAIN)
def test_what_follows_a_block_is_the_answer_or_else_what_stands_before_it(
    tags: tuple[str, str], before: str, thought: str, answer: str
) -> None:
    opens, closes = tags
    said = answer.strip() or before.strip()
    assert apart(f"{before}{opens}{thought}{closes}{answer}") == (thought.strip(), said, True)
    assert apart(f"{before}{opens}{thought}") == (thought.strip(), "", False)
    # Without its beginning, a block begins with the text.
    assert apart(f"{thought}{closes}{answer}") == (thought.strip(), answer.strip(), True)


@given(PLAIN)
def test_a_text_without_blocks_is_all_answer(text: str) -> None:
    assert apart(text) == ("", text.strip(), True)
    assert without_thoughts(text) == text


PIECES = st.sampled_from([tag for pair in TAGS for tag in pair] + ["a", " ", "\n", "<", "think"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_every_text_is_read_and_nothing_is_added(text: str) -> None:
    thought, answer, closed = apart(text)
    assert len(thought) + len(answer) <= len(text)
    assert closed or not answer
    assert without_thoughts(text) in (answer, text)


def test_many_tags_cost_no_more_than_their_length() -> None:
    text = "<think>x</thinking>" * 50_000
    assert apart(text).closed
    assert apart("<think>" * 100_000) == ("<think>" * 99_999, "", False)
