"""Texts as models write them, and the final answer a person would read in each; None where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sitkit.answers import extract, is_correct
from sitkit.types import Question

MATH = "Answer the following mathematical question with numerical solution."
PICK = "Choose the answer to the question only from options A, B, C, D."

NUMBER = Question("n/0", "n", "number", MATH, "How many?", None, "12")
ICE = Question("c/0", "c", "choice", PICK, "Which has a shape?", ("ice", "steam", "water", "salt water"), "A")
STEAM = replace(ICE, choices=("steam", "ice", "water", "salt water"), target="B")
COUNT = Question("c/1", "c", "choice", PICK, "How many legs?", ("2", "4", "6", "12"), "C")
LONG = Question(
    "c/2",
    "c",
    "choice",
    PICK,
    "How do you dry a plate?",
    ("Wipe it. Use a cloth.", "Wipe it. Use a cloth on the U.S. side.", "Leave it wet", "Ask Dr. Dry"),
    "B",
)
LATEX = Question("m/0", "m", "math", MATH, "What is it?", None, "\\frac{1}{2}")

NUMBERS = [
    ("The answer is 70.", "70"),
    ("It is 70", "70"),
    ("It is 70.", "70"),
    ("70", "70"),
    ("-5", "-5"),
    ("The answer is -5.", "-5"),
    ("The answer is −5.", "-5"),
    ("The answer is negative 5.", "-5"),
    ("The balance is -$5.", "-5"),
    ("$1,234.50", "1234.5"),
    ("The answer is $1,234.50.", "1234.5"),
    ("It costs 1,450,000 dollars.", "1450000"),
    ("The total is \\$2.5 million", "2500000"),
    ("$80 000", "80000"),
    ("Answer: 007", "7"),
    ("The answer is 0.50", "0.5"),
    ("The answer is .5", "0.5"),
    ("3/4", "0.75"),
    ("The answer is 1/3.", "1/3"),
    ("She drank 2 1/2 cups.", "2.5"),
    ("She drank 2 and 1/2 cups.", "2.5"),
    ("50%", "50"),
    ("The answer is 5kg.", "5"),
    ("The answer is twelve.", "12"),
    ("Twenty-five.", "25"),
    ("She has three apples.", "3"),
    ("one hundred and five", "105"),
    ("= 12 apples", "12"),
    ("So she has 3 * 4 = 12 apples.", "12"),
    ("3 + 4 = 7\n7 - 2 = 5", "5"),
    ("x = -3", "-3"),
    ("12 = 3 * 4", "12"),
    ("3 times 4 is 12", "12"),
    ("about 20 minutes, so 20", "20"),
    ("The answer is about 20 minutes, so 20.", "20"),
    ("The answer is 3 + 4 = 7.", "7"),
    ("The answer is 3 + 4.", None),
    ("#### 1,234", "1234"),
    ("She has 5.\n#### 5", "5"),
    ("\\boxed{42}", "42"),
    ("\\boxed{\\frac{3}{4}}", "0.75"),
    ("The final answer is: $\\boxed{42}$. I hope it is correct.", "42"),
    ("The answer is\n\n$$x = 15$$", "15"),
    ("The total is \\(3 \\times 5 = 15\\) apples.", "15"),
    ("It costs $\\$1{,}200$.", "1200"),
    ("**Answer:** 18 dollars", "18"),
    ("**Answer: 18**", "18"),
    ("### Answer\n\n**18**", "18"),
    ("**Final Answer**: The store sold **18** bags.", "18"),
    ("Final answer = 18", "18"),
    ("So 18 is the final answer.", "18"),
    ("The answer to the question is 18.", "18"),
    ("The answer (in dollars) is 18.", "18"),
    ("The answer is $12 per hour for 3 hours.", "12"),
    ("The answer is 12, because 3 * 4 = 12 and 2 are left.", "12"),
    ("The answer is 12. This follows from 4 boxes of 3.", "12"),
    ("She has 12 apples left after giving 3 to 2 friends.", "12"),
    ("He earns 60 dollars in 5 days.", "60"),
    ("In 5 days, she earned 60 dollars.", "60"),
    ("If she works 5 days, she earns 60 dollars.", "60"),
    ("He pays 50 dollars because 60 > 50.", "50"),
    ("There are 4 boxes with 5 pens each, so there are 4 x 5 = 20 pens.", "20"),
    ("Therefore, it takes 15 hours. Check: 15 x 2 = 30.", "15"),
    ("1. Add 3 and 4 to get 7.\n2. Double it: 14.\n3. So she has 14.", "14"),
    ("Step 1: 3 + 4 = 7\nStep 2: 7 * 2 = 14", "14"),
    ("The answer is 5. Wait, 3 * 4 = 12, so it's 12.", "12"),
    ("The answer is 5.\n\nActually, I forgot one. The answer is 6.", "6"),
    ("The answer is not 5 but 7.", "7"),
    ("The answer is not 5.", None),
    ("The answer is 12. I hope this helps you with the answer!", "12"),
    ("48/2 = <<48/2=24>>24", "24"),
    ("First, 19 * 3 = 57. 57 - 2 = 55. The answer is 55.", "55"),
    ("First, 19 * 3 = 57. 57 - 2 =", None),
    ("First, 19 * 3 = 57. 57 -", None),
    ("12\n\nQuestion: What is 5 + 6?\nAnswer: 11", "12"),
    ("12. Question: What is 5 + 6? Answer: 11", "12"),
    ("12\nAnswer the following mathematical question with numerical solution.\nAnswer: 11", "12"),
    ("I don't know.", None),
    ("There is not enough information to say how many of the 12 are left.", None),
    ("I cannot answer this question.", None),
    ("", None),
    ("   \n", None),
    ("To answer the question: 5 packs of 4 is 20.", "20"),
    ("They finish on the 3rd day with 40 bricks.", "40"),
    ("45 minutes / 3 minutes/question = 15 questions", "15"),
    ("\N{EURO SIGN}15", "15"),
    ("The answer is 10,5 and more", "10"),
    ("It is 6 o'clock.", "6"),
    ("It weighs 1.5 kg.", "1.5"),
    ("It is 10^2 = 100.", "100"),
    ("18\n\nExplanation: 16 - 3 - 4 = 9; 9 * 2 = 18. She had 16 eggs.", "18"),
    ("18. She has 16 eggs and eats 3.", "18"),
    ("**12**\n\nReasoning: she had 5, then bought 7.", "12"),
    ("12 apples. (5 + 7)", "12"),
    ("18 dollars because 9 eggs are sold", "18"),
    ("3 boxes. Each has 4. So 12 apples.", "12"),
    ("16 eggs.\n16 - 3 = 13\n13 * 2 = 26", "26"),
    ("1. She has 4.\n2. She gets 5, so 9.", "9"),
    ("5. Wait, it is 6.", "6"),
    ("She has 12 apples (5 red and 7 green).", "12"),
    ("It takes 160 minutes (2 hours 40 minutes).", "160"),
    ("5 * (3 + 4) = 35", "35"),
    ("3 (4) = 12", "12"),
    ("She has 12 apples, 5 red and 7 green.", "12"),
    ("She has 12 apples: 5 red and 7 green.", "12"),
    ("So the answer is 160 minutes, or 2 hours and 40 minutes.", "160"),
    ("She needs 13 in total, which is 3 more than 10.", "13"),
    ("So 9 eggs sell for $18.", "18"),
    ("The answer is 5. Actually 3 of them are red.", "5"),
    ("\\boxed{5}. Wait, did I use 12? Yes.", "5"),
    ("The answer is 5. Wait, I forgot 2. So she has 7 apples.", "7"),
    ("The answer is 5. No, it should be 7.", "7"),
    ("The answer is between 4 and 6", None),
    ("The answer is 4 or 5.", None),
    ("The answer is 3:00 pm", "3"),
    ("They have 12 eggs at 2:30 pm.", "12"),
    ("3½", "3.5"),
    ("The answer is 11.\n\nHuman: what is 3+3?\n\nAssistant: 6", "11"),
]

CHOICES = [
    ("B", "B"),
    ("b", "B"),
    ("b)", "B"),
    ("B.", "B"),
    ("(B)", "B"),
    ("(B) steam", "B"),
    ("B) steam", "B"),
    ("B: steam", "B"),
    ("**B**", "B"),
    ("**B) steam**", "B"),
    ("\\boxed{B}", "B"),
    ("$\\boxed{\\text{B}}$", "B"),
    ("\\boxed{\\text{(B) steam}}", "B"),
    ("#### B", "B"),
    ("steam", "B"),
    ("Steam.", "B"),
    ("Salt water.", "D"),
    ("It is salt water.", "D"),
    ("It is C) water", "C"),
    ("It is C) water.", "C"),
    ("The answer is C) water.", "C"),
    ("The answer is C.", "C"),
    ("The answer is c.", "C"),
    ("The answer is (c).", "C"),
    ("The answer is: C", "C"),
    ("The answer is\n\nC", "C"),
    ("**Answer:** (B)", "B"),
    ("Answer: B) steam", "B"),
    ("### Answer\n\n**B**", "B"),
    ("The correct answer is option c.", "C"),
    ("The correct answer is **B: steam**.", "B"),
    ("The best option is B", "B"),
    ("Option D is correct.", "D"),
    ("I would choose B.", "B"),
    ("I'll go with (D).", "D"),
    ("My answer: D", "D"),
    ("So the answer is most likely steam.", "B"),
    ("The answer is salt water, not water.", "D"),
    ("The answer is not A but C", "C"),
    ("The answer is not A) ice but C) water.", "C"),
    ("The answer isn't ice, it is steam.", "B"),
    ("I don't think the answer is B.", None),
    ("The answer is B. Wait, no, it's C.", "C"),
    ("The answer is B.\n\nHmm, let me reconsider. The answer is D.", "D"),
    ("The answer is B. Actually, I am sure of it.", "B"),
    ("B because A is solid and C is liquid.", "B"),
    ("A is solid, so the answer is A.", "A"),
    ("Ice is solid. Steam is a gas. Only ice works.", "A"),
    ("A) no, B) no, C) yes. The answer is C) water.", "C"),
    ("A) no\nB) yes\nC) no\nD) no", "B"),
    ("A) ice: incorrect. B) steam: correct. C) water: incorrect. D) salt water: incorrect.", "B"),
    (
        "Answer:\nA) ice: Ice is solid.\nB) steam: Steam is a gas.\nC) water: It is liquid.\nD) salt water: As C.\n"
        "Given these considerations, the only substance among the options that keeps a shape by itself is A) Ice.",
        "A",
    ),
    ("Let's see.\nA) ice is solid.\nB) steam is not.\nTherefore, A.", "A"),
    ("A) ice B) steam C) water D) salt water", None),
    ("A) ice\nB) steam\nC) water\nD) salt water", None),
    ("A. ice\nB. steam\nC. water\nD. salt water", None),
    ("The options are ice, steam, water and salt water.", None),
    ("Choices:\nA) ice\nB) steam", None),
    ("The answer is F.", None),
    ("(F) fire", None),
    ("The answer is E) fire.", None),
    ("None of the above.", None),
    ("The answer is none of these.", None),
    ("I cannot answer this question.", None),
    ("I don't know which of ice and steam it is.", None),
    ("I'm not sure, but I would say B.", "B"),
    ("It could be anything.", None),
    ("A dog would know.", None),
    ("", None),
    ("B\n\nQuestion: Which is hot?\nAnswer: C", "B"),
    ("B\n\nQ: Which is hot?\nA: C", "B"),
    ("The answer is steam (B).", "B"),
    ('The answer is "B".', "B"),
    ("The answer is “B”.", "B"),
    ("B, steam", "B"),
    ("Both A and B look right, but the answer is A", "A"),
    ("C is the correct answer.", "C"),
    ("C) water is the best choice here.", "C"),
    ("The answer is C) water, since A) ice is hard and B) steam is hot.", "C"),
    ("Thus (D) is right.", "D"),
    ("So A) ice fits, while B) steam is wrong.", "A"),
    ("I doubted it, but ice is right and steam isn't.", "A"),
    ("A) ice doesn't flow. So it must be   salt  water.", "D"),
]

STATED_FIRST = [
    ("B. ice\n\nExplanation: Option A (steam) is a gas. Option C (water) is a liquid.", "B"),
    ("B) ice\n\nExplanation: (A) steam is a gas. (C) water is liquid.", "B"),
    ("B. ice\n\nWhy not the others? A is a gas. C is a liquid. D has salt.", "B"),
    ("B) ice\n\nExplanation:\nIce is solid. Option D (salt water) is a mix.", "B"),
    ("B\n\nRationale: C is liquid.", "B"),
    ("B\nRationale: Water (C) freezes at 0 degrees.", "B"),
    ("B) ice. Option C (water) is a liquid.", "B"),
    ("B. Because C is a liquid.", "B"),
    ("B) ice\nThe reason is that water (C) is liquid.", "B"),
    ("C. Water freezes into ice.", "C"),
    ("A\n\nB is solid and C is liquid.", "A"),
    ("A) steam\n\nExplanation: A) steam is hot. B) ice is cold.", "A"),
    ("Ice, because water is liquid.", "B"),
    ("Ice.\n\nWater is liquid and steam is a gas.", "B"),
    ("(B) ice\n\n(A) is steam, (C) is water and (D) is salt water.", "B"),
    ("B. ice\n\nWait, that's wrong. It should be C.", "C"),
    ("B. ice is hard. Therefore, C.", "C"),
    ("A. steam is a gas.\nB. ice is solid.\nSo it is B.", "B"),
    ("A. steam is a gas. B. ice is solid. C. water flows. D. salt water too.", None),
    ("The answer is C. Sorry for any confusion about B!", "C"),
    ("The answer is C. Hmm, A was tempting though.", "C"),
    ("The answer is B. Hmm, is it C? No.", "B"),
    ("The answer is C. Actually, ice is better, so B.", "B"),
    ("The answer is C. Actually, no, B is correct.", "B"),
    ("The answer is B. No wait, C.", "C"),
    ("The answer is B. Correction: C.", "C"),
    ("I choose A. Sorry, I meant B.", "B"),
    ("The answer is B. Note that A would be right if it was hot, but actually it is cold.", "B"),
    ("I don't think it's B, I think it's C.", "C"),
    ("I would choose A over B.", "A"),
    ("We can rule out everything except C.", "C"),
    ("The answer is either A or B.", None),
    ("The answer is A (steam) or B (ice).", None),
    ("The answer is B and C.", None),
    ("The answers are A and C.", None),
    ("The answer is A, B, C, D.", None),
    ("A and C are both correct.", None),
    ("A or B", None),
    ("A, B", None),
    ("Either A or D.", None),
    ("The answer is B and C is wrong.", "B"),
    ("It could be B, but the answer is steam, ice being solid.", "A"),
    ("Water is heated, and it turns to steam.", None),
    ("Let's think step by step. Water can be solid, liquid or gas.", None),
    ("It is the water.", "C"),
    ("We look for a solid. It is ice.", "B"),
    ("We look for a solid.\nice", "B"),
    ("'B'", "B"),
    ("The second option.", "B"),
    ("The first one is correct.", "A"),
    ("B<|im_end|>\n<|im_start|>user\nC", "B"),
    ("<think>A? no, C.</think>B", "B"),
    ("B\nUser: and C?", "B"),
    ("B\n\nProblem: another\nAnswer: C", "B"),
]
"""For `STEAM`: answers stated first and then explained, revisions and what only looks like one, two answers, prose."""

NUMBER_CHOICES = [
    ("6", "C"),
    ("The answer is 6.", "C"),
    ("C) 6", "C"),
    ("An ant has 2 + 4 = 6 legs, so the answer is 6.", "C"),
    ("12 legs", "D"),
    ("The answer is 3.", None),
    ("B", "B"),
]

LONG_CHOICES = [
    ("Wipe it. Use a cloth on the U.S. side.", "B"),
    ("Wipe it. Use a cloth.", "A"),
    ("The answer is Ask Dr. Dry", "D"),
    ("The answer is B) Wipe it. Use a cloth on the U.S. side.", "B"),
]

EXPRESSIONS = [
    ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", True),
    ("So $x = \\boxed{\\dfrac12}$.", "\\dfrac12", True),
    ("The answer is $\\frac{2}{4}$.", "\\frac{2}{4}", True),
    ("The answer is 0.5.", "0.5", True),
    ("It equals $x = 0.5$", "0.5", True),
    ("\\boxed{3} is wrong, so \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", True),
    ("\\boxed{\\frac{1}{3}}", "\\frac{1}{3}", False),
    ("\\boxed{", None, False),
    ("I don't know.", None, False),
    ("The answer is $\\$0.50$.", "\\$0.50", True),
    ("So $3 - 2.5 = 0.5$", "0.5", True),
    ("The line is $4x - 5y = -50$.", "4x - 5y = -50", False),
    ("The answer is $a + b = \\frac{1}{2}$.", "a + b = \\frac{1}{2}", True),
    ("They are $AB = 9, CD = 4$.", "AB = 9, CD = 4", False),
    ("Answer: 3 + 4 =", None, False),
]

EQUATIONS = [
    ("4x-5y=-50", "\\boxed{4x - 5y = -50}", True),
    ("4x-5y=-50", "\\boxed{4x - 5y = 50}", False),
    ("4x-5y=-50", "\\boxed{-50}", False),
    ("y = 2x + 3", "So it is \\boxed{2x+3}.", True),
    ("0.56 = 56\\%", "\\boxed{56\\%}", True),
    ("AB=9, CD=4", "\\boxed{AB=9, CD=4}", True),
    ("AB=9, CD=4", "\\boxed{4}", False),
    ("5", "\\boxed{x = 5}", True),
    ("3", "$\\boxed{3}$\n\n$\\boxed{}$", True),
    ("1,2", "\\boxed{2,1}", True),
    ("\\frac12,2", "\\boxed{2,0.5}", True),
    ("1,2", "\\boxed{2,3}", False),
    ("1,1,2", "\\boxed{1,2,2}", False),
    ("1,2,3", "\\boxed{1,2}", False),
    ("1,2", "\\boxed{3,2,1}", False),
    ("(1,2)", "\\boxed{(2,1)}", False),
    ("5", "\\boxed{5}\n\nProblem: 2+2\n\\boxed{4}", True),
]
"""Target, text, and whether a person would call it right."""

ODD_OPTIONS = [
    (("**", "//", "is", "not in"), "**", "A"),
    (("As", "P", "Sb", "B"), "B", "B"),
    (("As", "P", "Sb", "B"), "**B**", "B"),
    (("As", "P", "Sb", "B"), "The answer is D) B.", "D"),
    (("As", "P", "Sb", "B"), "Therefore, the answer is D) D) B", "D"),
    (("As", "P", "Sb", "B"), "The answer is D and B.", None),
    (("V", "F", "C", "N"), "F", "B"),
    (("V", "F", "C", "N"), "**F**", "B"),
    ((".5, 0.44", "0.5, .44"), ".5, 0.44", "A"),
    (("M", "Q", "R", "S"), "A) M: no\nB) Q: no\nC) R: yes\nTherefore, the answer is C) R", "C"),
    (("walk", "ask. Question: who?"), "A) walk\nB) ask. Question: who?\nThe answer is A.", "A"),
    (("1/2", "1/4", "3/4", "1"), "\\boxed{\\frac{1}{4}}", "B"),
    (("walk", "ask"), "It is so. Question: who? The answer is A.", None),
]
"""Options that are marks, letters, or look like a next question; a text; the answer a person would read."""


THOUGHTS = [
    ("<think>Is it A? No, the answer is C.</think>\n\nThe answer is B.", "B"),
    ("Is it A? No, the answer is C.\n</think>\n\nThe answer is B.", "B"),
    ("<think>\n\n</think>\n\nB", "B"),
    ("<think>The answer is B.", None),
    ("<think>The answer is B. So B. Then <think> again B", None),
    ("<think>\nB\n</think>", None),
    ("<think>\nThe answer is C.\n</think>\n\n", None),
    ("The answer is B.\n<think>Or is it C? The answer is C.</think>", "B"),
    ("The answer is B.\n<think>Or is it C? The answer is C.", None),
    ("<think>The answer is A.</think>The answer is C.<think>No: B.</think>The answer is B.", "B"),
    ("<think>The answer is A.</think>The answer is C.<think>No: the answer is B.</think>", "C"),
    ("<think>ice</think>steam", "A"),
    ("<think>a</think></think>The answer is B.", "B"),
    ("</think>", None),
    ("The answer is B, as people think> not.", "B"),
    ("<thinking>The answer is C.</thinking>The answer is B.", "B"),
    ("The answer is A. <think>Or C.</think> The answer is B.", "B"),
    ("[THINK]The answer is C.[/THINK]The answer is B.", "B"),
    ("<Thought>The answer is C.</THOUGHT>The answer is B.", "B"),
    ("The answer is C.</reasoning>The answer is B.", "B"),
    ("<reasoning>The answer is B.", None),
]
"""Reasoning models' blocks: never read as the answer; one that does not end has no answer after it."""


@pytest.mark.parametrize(("text", "answer"), THOUGHTS)
def test_what_is_thought_aloud_is_no_answer(text: str, answer: str | None) -> None:
    assert extract(STEAM, text) == answer
    numbered = text.replace("A", "3").replace("B", "7").replace("C", "5").replace("steam", "3").replace("ice", "5")
    assert extract(NUMBER, numbered) == {"A": "3", "B": "7", "C": "5", None: None}[answer]


def test_a_string_match_looks_at_the_answer_alone() -> None:
    assert not is_correct(STEAM, f"<think>{STEAM.target_text}</think> I do not know.", match="contains")
    assert is_correct(STEAM, f"<think>Hm.</think> {STEAM.target_text}", match="contains")


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_numbers(text: str, answer: str | None) -> None:
    assert extract(NUMBER, text) == answer


@pytest.mark.parametrize(("text", "answer"), CHOICES)
def test_choices(text: str, answer: str | None) -> None:
    assert extract(ICE, text) == answer


@pytest.mark.parametrize(("text", "answer"), STATED_FIRST)
def test_choices_that_are_explained_revised_or_left_open(text: str, answer: str | None) -> None:
    assert extract(STEAM, text) == answer


@pytest.mark.parametrize(("text", "answer"), NUMBER_CHOICES)
def test_choices_that_are_numbers(text: str, answer: str | None) -> None:
    assert extract(COUNT, text) == answer


@pytest.mark.parametrize(("text", "answer"), LONG_CHOICES)
def test_choices_that_are_sentences(text: str, answer: str | None) -> None:
    assert extract(LONG, text) == answer


@pytest.mark.parametrize(("text", "answer", "correct"), EXPRESSIONS)
def test_expressions(text: str, answer: str | None, correct: bool) -> None:
    assert extract(LATEX, text) == answer
    assert is_correct(LATEX, text) is correct


@pytest.mark.parametrize(("target", "text", "correct"), EQUATIONS)
def test_equations(target: str, text: str, correct: bool) -> None:
    assert is_correct(replace(LATEX, target=target), text) is correct


@pytest.mark.parametrize(("choices", "text", "answer"), ODD_OPTIONS)
def test_odd_options(choices: tuple[str, ...], text: str, answer: str | None) -> None:
    assert extract(replace(ICE, choices=choices), text) == answer


def test_a_question_with_numbered_parts_may_be_answered_part_by_part() -> None:
    parts = replace(NUMBER, question="Which of these questions have the answer yes? Add up their numbers.")
    text = "Question 1: yes.\nQuestion 2: no.\nQuestion 3: yes.\nThe sum is 4."
    assert extract(parts, text) == "4"
    assert extract(NUMBER, "The sum is 4.\nQuestion 2: Another?\nThe sum is 5.") == "4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 8/10 or 4/5.", "0.8"),
        ("Therefore, the answer is 3/8 or 0.375.", "0.375"),
        ("The answer is .33 or .3333.", None),
        ("The answer is 4, or 5.", None),
        ("The answer is 30 and 35.", None),
        ("The answer is 2 and 1/2.", "2.5"),
        ("The answer is 1 dollar and 22 cents.", "1.22"),
        ("It costs 3 dollars and 5 cents.", "3.05"),
        ("The answer is one hundred forty-four thousand two hundred fifty.", "144250"),
        ("Eighty-one thousand nine hundred two", "81902"),
        ("The answer is one hundred seventy-four thousand and eighty.", "174080"),
        ("A thousand", "1000"),
        ("The answer is two hundred twenty-four point eighty-seven dollars.", "224.87"),
        ("The answer is fifty-two point six two.", "52.62"),
        ("The answer is zero point five.", "0.5"),
        ("He got one point.", "1"),
    ],
)
def test_numbers_as_a_real_teacher_wrote_them(text: str, expected: str | None) -> None:
    assert extract(NUMBER, text) == expected


QUOTED = [
    ("The answer is 'B'.", "B"),
    ('Answer: "C"', "C"),
    ("The correct option is “B”", "B"),
    ("The correct option is ‘D’.", "D"),
    ("'B' is the correct answer.", "B"),
    ("'B' is correct because 'A' is wrong.", "B"),
    ("So it is 'C', which flows.", "C"),
    ("The answer is neither 'A' nor 'B' but 'C'.", "C"),
    ("The answer is 'A' or 'C'.", None),
    ("They wrote 'B' on the board.", None),
    ("The label 'B' stands on the jar.", None),
    ("'B' is right there on the jar.", None),
    ("It is 'A' grade beef.", None),
    ("The answer is 'I think so'.", None),
]
"""Letters in quotes: an option where announced; in running prose those in single quotes are none."""

DENIED = [
    ("It cannot be A, so it is C", "C"),
    ("It can't be A, so it is C.", "C"),
    ("The answer cannot be A, so it is C.", "C"),
    ("The answer could not be A; it is C.", "C"),
    ("The answer couldn't be B. It is D.", "D"),
    ("The answer cannot be A", None),
    ("It cannot be A.", None),
    ("It cannot be A or B, so it is C.", "C"),
    ("The answer cannot be A or B, it is C.", "C"),
    ("The answer is neither A nor B but C", "C"),
    ("The answer is neither A, B nor D.", None),
    ("It is not A or B; it is C", "C"),
    ("It is not ice or steam; it is water.", "C"),
    ("It is not A, B or C is right.", "C"),
    ("It is not A, it is B.", "B"),
    ("It's not A, or is it B?", "B"),
    ("It could be A, but it is B", None),
    ("The answer could not be clearer: A.", "A"),
    ("It cannot be denied that A is right.", "A"),
    ("Ice cannot be poured, so it is A.", "A"),
]
"""What "cannot be" denies, what "or" and "nor" carry the denial over to, and what only looks like it."""

EXPONENTS = [
    ("The answer is 1e3.", "1000"),
    ("1.5e3", "1500"),
    ("It weighs 2E-3 kg.", "0.002"),
    ("1e3. She sells 5 of 200.", "1000"),
    ("The answer is 5. Wait, it is 1e3.", "1000"),
    ("The answer is 1e.", "1"),
    ("The answer is 1e999999999", "1"),
    ("The answer is 1e99.", None),
    ("The hash is 12e5ab, so the answer is 3.", "3"),
    ("The answer is 1e3f.", "1"),
    ("The answer is 1e3-2c.", "1"),
    ("The answer is 0x1e3.", "0"),
    ("The answer is 1e3.5", "1"),
    ("3 eggs", "3"),
]
"""Powers of ten, of two digits at most and not in a name; a number of more than sixty digits is none."""

BLANKS = [
    ("The answer is 1 234 567.", "1234567"),
    ("The total is 12 500 dollars", "12500"),
    ("#### 12 500", "12500"),
    ("3 000 + 2 000 = 5 000", "5000"),
    ("The answer is -12 500.75, because so.", "-12500.75"),
    ("12 500", "12500"),
    ("They sold 1\xa0234\u202f567 of them", "1234567"),
    ("They sold 12\u2009500 bags of 3.", "12500"),
    ("The answer is 12\xa03/4.", "12.75"),
    ("The answer is 0.123\xa0456", "0.123"),
    ("The answer is 1\xa0234\xa05678", "1"),
    ("The answer is 2 3/4.", "2.75"),
    ("The answer is 2 300/400.", "2.75"),
    ("The answer is 4 100 gram bars.", "4"),
    ("There are 4 100 gram bars.", "100"),
    ("There are 10 100 bills.", "100"),
    ("The answer is 4 100g bars.", "4"),
    ("She needs 2 500 g bags.", "500"),
    ("2 500 g bags", "500"),
    ("So she has 12 500 apples.", "500"),
    ("The numbers are 100 200 300.", "300"),
    ("The answer is 12 50.", "12"),
    ("The answer is 12 5000.", "12"),
    ("The answer is 1234 567.", "1234"),
    ("The answer is 012 500.", "12"),
    ("The answer is 12 500 3.", "12"),
    ("The answer is 1 234,567", "1"),
]
"""Thousands apart by a blank: read where stated and closed, or where the blank is thin or does not break."""


@pytest.mark.parametrize(("text", "answer"), QUOTED + DENIED)
def test_quoted_and_denied_letters(text: str, answer: str | None) -> None:
    assert extract(ICE, text) == answer


@pytest.mark.parametrize(("text", "answer"), EXPONENTS + BLANKS)
def test_powers_of_ten_and_thousands_apart(text: str, answer: str | None) -> None:
    assert extract(NUMBER, text) == answer


def test_a_target_and_options_with_thousands_apart_are_read_alike() -> None:
    assert is_correct(replace(NUMBER, target="12 500"), "The answer is 12,500.")
    assert is_correct(replace(NUMBER, target="12\u2009500"), "The answer is 12 500.")
    options = replace(COUNT, choices=("12 500", "13,000", "125"), target="A")
    assert extract(options, "The answer is 12500.") == "A"
    assert extract(options, "The answer is 13\xa0000.") == "B"


@pytest.mark.parametrize("before", ["", "Option A is right. Option B is right. D is no liquid.\n"])
@pytest.mark.parametrize(
    "text",
    [
        "Therefore, among A through D, the answer is (A), (B), (C), and (D).",
        "The answer is A, B, C, and D.",
        "the answer is a, b, and c.",
        "The answer is A through D.",
        "The answer is (A) - (D).",
        "The answer is A B C D",
        "The answer is (A) and (B).",
        "the correct answers are: (A), (B), (C), and (D).",
    ],
)
def test_several_letters_are_no_answer(before: str, text: str) -> None:
    assert extract(ICE, before + text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is (A), (B), (C) or (D). I choose C.", "C"),
        ("Answer choices: (A) ice, (B) steam, (C) water. It is (C).", "C"),
        ("The options for the answer are (A) ice, (B) steam and (C) water. So it is A.", "A"),
        ("The answer is D, not A, B, or C.", "D"),
        ("the answer is b, i think.", "B"),
        ("The answer is C - it flows.", "C"),
    ],
)
def test_a_list_of_letters_does_not_hide_an_answer(text: str, expected: str) -> None:
    assert extract(ICE, text) == expected
