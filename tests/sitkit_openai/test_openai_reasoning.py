"""Thought is told apart from the answer, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit_openai.reasoning import split_thought

PLAIN = st.text(alphabet=st.characters(blacklist_characters="<>[]"))


@pytest.mark.parametrize(
    ("text", "thought", "answer", "closed"),
    [
        ("<think>a</think>b", "a", "b", True),
        (" \n<THINK>\na\n</THINK>\n\nb\n", "a", "b", True),
        ("<think></think>b", "", "b", True),
        ("<think>a</think><think>c</think>b", "a\n\nc", "b", True),
        ("<thinking>a</thinking>b", "a", "b", True),
        ("[THINK]a[/THINK]b", "a", "b", True),
        ("a</think>b", "a", "b", True),
        ("<think>a", "a", "", False),
        ("<think>a</thinking", "a</thinking", "", False),
        ("b", "", "b", True),
        ("b <think>a</think>", "", "b <think>a</think>", True),
        ("  b\n", "", "  b\n", True),
    ],
)
def test_blocks(text: str, thought: str, answer: str, closed: bool) -> None:
    assert split_thought(text) == (thought, answer, closed)


@given(PLAIN, PLAIN)
def test_a_block_at_the_beginning_is_thought_and_the_rest_the_answer(thought: str, answer: str) -> None:
    assert split_thought(f"<think>{thought}</think>{answer}") == (thought.strip(), answer.strip(), True)
    assert split_thought(f"<think>{thought}") == (thought.strip(), "", False)


@given(PLAIN)
def test_a_text_without_blocks_stays_as_it_is(text: str) -> None:
    assert split_thought(text) == ("", text, True)


@given(st.text())
def test_nothing_is_added(text: str) -> None:
    thought, answer, _ = split_thought(text)
    assert len(thought) + len(answer) <= len(text)
