"""The reader on the real files: every gold answer in ten phrases is read right, and no wrong answer is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sitkit.answers import is_correct
from sitkit.registry import load_plugins
from sitkit.types import LETTERS, Question
from tests.sitkit_benchmarks.real_data import DATA, NAMES, needs_data

pytestmark = [needs_data, pytest.mark.slow]

CHOICE = (
    "{letter}",
    "{low})",
    "({letter}) {text}",
    "**{letter}**",
    "\\boxed{{{letter}}}",
    "{text}",
    "The answer is {letter}) {text}.",
    "So the correct option is {letter}.",
    "{walk}\nTherefore, the answer is {letter}) {text}",
    "The answer is {other}. Wait, that is wrong. The answer is {letter}.",
)
NUMBER = (
    "{value}",
    "The answer is {value}.",
    "#### {value}",
    "\\boxed{{{value}}}",
    "**Answer:** {value}",
    "First, 3 + 4 = 7. So she has {value} apples.",
    "{separated}",
    "The answer is ${separated}.",
    "x = {value}",
    "The answer is 12345. Wait, that is wrong. The answer is {value}.",
)
LATEX = (
    "\\boxed{{{value}}}",
    "The answer is ${value}$.",
    "We add 1 + 1 = 2. So $x = {value}$.",
    "The final answer is \\boxed{{{value}}}. I hope it is correct.",
    "**Answer:** ${value}$",
    "Thus \\[ \\boxed{{{value}}} \\]",
    "First \\boxed{{17}}, no: \\boxed{{{value}}}",
    "Answer: ${value}$",
    "#### ${value}$",
    "So $\\boxed{{{value}}}$.",
)


def every_question(name: str) -> list[Question]:
    made: Any = load_plugins().benchmark(name, DATA)
    return list({one.id: one for split in ("train", "test") for one in made.pool(split)}.values())


def phrases(question: Question, answer: str, other: str) -> Iterator[str]:
    """Ten texts that give the answer."""
    if question.kind == "math":
        # "So x = 4x - 5y = 2" says nothing: an equation is given in the nine other ways.
        texts = [phrase for phrase in LATEX if "=" not in answer or "=" not in phrase]
        yield from (phrase.format(value=answer) for phrase in texts)
    elif question.kind == "number":
        yield from (phrase.format(value=answer, separated=f"{int(answer):,}") for phrase in NUMBER)
    else:
        choices = question.choices or ()
        walk = "\n".join(f"{letter}) {text}: it could be." for letter, text in zip(LETTERS, choices, strict=False))
        text = choices[LETTERS.index(answer)]
        for phrase in CHOICE:
            # An option whose text is another option's letter cannot be given by its text.
            text = f"{answer}) {text}" if phrase == "{text}" and text.upper() in LETTERS[: len(choices)] else text
            yield phrase.format(letter=answer, low=answer.lower(), text=text, walk=walk, other=other)


def a_wrong_answer(question: Question, at: int) -> str | None:
    """Another option whose text differs, another number; None where all options are the same."""
    if question.kind == "math":
        return "999983"
    if question.kind == "number":
        return str(int(question.target) + 1)
    choices = question.choices or ()
    right = choices[LETTERS.index(question.target)].strip().lower()
    letters = [letter for letter, text in zip(LETTERS, choices, strict=False) if text.strip().lower() != right]
    return letters[at % len(letters)] if letters else None


@pytest.mark.parametrize("name", NAMES)
def test_every_gold_answer_is_read_right_in_ten_phrases_and_no_wrong_one_is(name: str) -> None:
    misread = []
    for at, question in enumerate(every_question(name)):
        wrong = a_wrong_answer(question, at)
        misread += [text for text in phrases(question, question.target, wrong or "A") if not is_correct(question, text)]
        # A different three of the ten phrases in turn; math-verify, which takes its time, judges every tenth row's.
        if wrong is not None and (question.kind != "math" or at % 10 == 0):
            texts = list(phrases(question, wrong, question.target))
            misread += [text for text in texts[at % 8 : at % 8 + 3] if is_correct(question, text)]
    assert not misread, (len(misread), misread[:5])


def test_every_math_solution_is_judged_right_and_its_target_is_what_the_box_holds() -> None:
    boxed = re.compile(r"\\boxed\s*\{")
    for question in every_question("math"):
        solution = question.solution or ""
        assert is_correct(question, solution), question.id
        opened = [found.end() for found in boxed.finditer(solution)]
        if opened:
            depth, end = 1, opened[-1]
            while depth:
                depth += {"{": 1, "}": -1}.get(solution[end], 0)
                end += 1
            assert question.target == solution[opened[-1] : end - 1].strip()


@pytest.mark.parametrize("name", ["multiarith", "word_problems"])
def test_the_numbers_a_real_model_states_are_the_ones_read(name: str) -> None:
    path = DATA / "demonstrations" / f"{name}.text-davinci-002.jsonl"
    if not path.is_file():
        pytest.skip("the answers are not here")
    stated = re.compile(
        r"\(arabic numerals\) is:?\s+(?P<sign>-?)\$?(?P<value>[0-9]+(?:,[0-9]{3})*(?:\.[0-9]{1,20})?)\.?$"
    )
    misread, seen = [], 0
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if found := stated.search(row["completion"].strip()):
            seen += 1
            target = found["sign"] + found["value"].replace(",", "")
            question = Question("q", name, "number", "Answer.", row["question"], None, target)
            if not is_correct(question, row["completion"]):
                misread.append(row["completion"])
    assert seen > 500
    assert not misread, (len(misread), misread[:3])
