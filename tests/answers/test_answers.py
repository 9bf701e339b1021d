"""What holds of every text: no reader raises or hangs, and a plain answer in any usual form is read by its value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitkit.answers import extract, is_correct, is_worked
from sitkit.types import LETTERS, Question

MATH = "Answer the following mathematical question with numerical solution."
NUMBER = Question("n/0", "n", "number", MATH, "How many?", None, "12")
CHOICE = Question("c/0", "c", "choice", "Choose.", "Which?", ("ice", "steam", "water", "salt water"), "B")
LATEX = Question("m/0", "m", "math", MATH, "What is it?", None, "\\frac{1}{2}")

BITS = st.sampled_from(
    ["The answer is ", "Answer:", "####", "\\boxed{", "}", "{", "A)", "(B)", "ice", "salt water", "\n", " ", ". ",
     "not ",
     "1,234", "-5", "3/4", "/0", "$", "=", "+", "Wait, ", "Question:", "İ", "−", "is correct", "\\frac{1}{", "²", "٣"]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(BITS, max_size=12).map("".join))


@given(TEXTS)
def test_no_text_raises_and_what_is_read_is_well_formed(text: str) -> None:
    number = extract(NUMBER, text)
    if number is not None:
        Fraction(number)
        assert extract(NUMBER, f"The answer is {number}.") == number
    assert extract(CHOICE, text) in (None, "A", "B", "C", "D")
    latex = extract(LATEX, text)
    assert latex is None or latex.strip()


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{:,}", "{}"]))
@pytest.mark.parametrize(
    "phrase",
    ["The answer is {}.", "#### {}", "\\boxed{{{}}}", "**Answer:** ${}$", "1 + 1 = {}", "{}", "So it is {} apples."],
)
def test_integers_are_read_in_every_phrase(phrase: str, value: int, form: str) -> None:
    question = replace(NUMBER, target=str(value))
    assert is_correct(question, phrase.format(form.format(value)))
    assert not is_correct(question, phrase.format(form.format(value + 1)))


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=3))
def test_decimals_are_equal_by_value(value: object) -> None:
    question = replace(NUMBER, target=str(value))
    assert is_correct(question, f"The answer is {value}0.")
    assert is_correct(question, f"It costs ${str(value).rstrip('0').rstrip('.') or 0}")


@given(st.integers(0, 3), st.integers(0, 3))
@pytest.mark.parametrize(
    "phrase",
    ["{letter}", "({letter})", "The answer is {letter}.", "It is {letter}) {text}", "**Answer: {letter}**", "{text}"],
)
def test_options_are_read_in_every_phrase(phrase: str, option: int, target: int) -> None:
    choices = CHOICE.choices or ()
    question = replace(CHOICE, target=LETTERS[target])
    text = phrase.format(letter=LETTERS[option], text=choices[option])
    assert extract(question, text) == LETTERS[option]
    assert is_correct(question, text) is (option == target)


@given(TEXTS)
def test_an_invented_next_question_changes_nothing(text: str) -> None:
    for question in (NUMBER, CHOICE):
        assert extract(question, f"It is so\n\nQuestion: {text}") == extract(question, "It is so")


def test_options_of_equal_text_are_told_apart_by_letter_alone() -> None:
    question = replace(CHOICE, choices=("ice", "steam", "steam", "water"), target="C")
    assert is_correct(question, "The answer is steam.")
    assert not is_correct(question, "The answer is B.")


@pytest.mark.parametrize(
    "piece",
    ["(", "[", "{", "1,", "1 ", "1/", "\\", "\\frac{", "\\boxed{", "the answer is ", "answer:\n", "A)", "(B ",
     "ice ", "\n",
     "A\n", "\nA) x", "$x$", "\\(",
     "ice or ", "A, ", "wait, no, ", "so A. ", "5, ", "1 or ", "\\boxed{}",
     "'A' ", "not A, B or ", "answer '", "1e", "1\xa0234 ", "= 1 234 ",
     "is not A ", "a hundred and ", "9^", "wait ", "<<1="],
)  # fmt: skip
@pytest.mark.parametrize("question", [NUMBER, CHOICE, LATEX], ids=lambda question: question.kind)
def test_a_megabyte_takes_no_longer_than_a_second_or_two(piece: str, question: Question) -> None:
    text = piece * (1_000_000 // len(piece)) + "z"
    start = time.perf_counter()
    extract(question, text)
    assert time.perf_counter() - start < 2


def test_hundreds_of_thousands_of_digits_are_no_answer() -> None:
    assert extract(NUMBER, f"The answer is {'9' * 300_000}.") is None


def test_contains_is_the_papers_string_match() -> None:
    walk = "A) ice is solid. B) steam is a gas. The answer is A) ice."
    assert is_correct(CHOICE, walk, match="contains")
    assert not is_correct(CHOICE, walk)
    assert is_correct(NUMBER, "The answer is 1200.", match="contains")
    assert not is_correct(CHOICE, "The answer is B.", match="contains")


@pytest.mark.parametrize(
    ("text", "worked"),
    [("It is 70.", False), ("It is C) red.", False), ("It is 1.5", False), ("", False), ("  It is 70.\n", False),
     ("First, 3 + 4 = 7. The answer is 7.", True), ("3 + 4\n7", True), ("Is it? Yes.", True)],
)  # fmt: skip
def test_worked_answers_have_more_than_one_sentence_or_line(text: str, worked: bool) -> None:
    assert is_worked(text) is worked


@pytest.mark.parametrize(
    ("target", "answer", "equal"),
    [("\\frac{1}{2}", "0.5", True), ("\\frac{1}{2}", "\\frac{2}{4}", True), ("x^2+2x+1", "(x+1)^2", True),
     ("\\sqrt{8}", "2\\sqrt{2}", True), ("(1,2)", "(1, 2)", True), ("1,000", "1000", True),
     ("\\frac{1}{2}", "0.6", False),
     ("\\{1,2\\}", "\\{2,1\\}", True), ("12", "13", False)],
)  # fmt: skip
def test_expressions_are_equal_by_math_verify(target: str, answer: str, equal: bool) -> None:
    assert is_correct(replace(LATEX, target=target), f"So it is \\boxed{{{answer}}}.") is equal


@pytest.mark.slow
def test_hostile_expressions_cost_a_wrong_answer_and_the_next_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from sitkit.answers.math_check import Verifier

    verifier = Verifier()
    try:
        assert verifier.ask("1", "\\frac{2}{2}", 60)
        start = time.perf_counter()
        for hostile in ("9^{9^{9^{9^{9}}}}", "(" * 400, "\\sqrt{" * 300, "\\frac{" * 300, "10000000!!!!"):
            assert verifier.ask("1", hostile, 2) is False
        assert time.perf_counter() - start < 60
        assert verifier.ask("1", "\\frac{3}{3}", 60)
    finally:
        verifier.close()


def test_expressions_are_judged_in_threads() -> None:
    answers = [f"\\boxed{{\\frac{{{n}}}{{{2 * n if n % 2 else 3 * n}}}}}" for n in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda text: is_correct(LATEX, text), answers))
    assert verdicts == [bool(n % 2) for n in range(1, 9)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_expressions_are_judged_in_daemonic_worker_processes() -> None:
    script = (
        "import json, multiprocessing as mp\n"
        "from sitkit.answers import is_correct\n"
        "from sitkit.types import Question\n"
        "Q = Question('m', 'm', 'math', 'I', 'q', None, 'x^2-1')\n"
        "def judge(text): return is_correct(Q, text)\n"
        "if __name__ == '__main__':\n"
        "    first = judge('\\\\boxed{(x-1)(x+1)}')\n"
        "    with mp.get_context('fork').Pool(2) as pool:\n"
        "        rest = pool.map(judge, ['\\\\boxed{(x+1)(x-1)}', '\\\\boxed{x^2}'])\n"
        "    print(json.dumps([first, *rest]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, True, False]


def test_reading_choices_and_numbers_imports_nothing_heavy() -> None:
    script = (
        "import sys\nimport sitkit.answers\n"
        "print([name for name in ('math_verify', 'sympy', 'torch', 'datasets', 'lm_eval') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
