"""One hand-written row of each data set, in the set's own format, and the prompt it must give, written out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openbookqa": (
        "openbookqa",
        "validation",
        {
            "id": "9-1",
            "question_stem": "A pan of water left on a lit stove will",
            "choices": {"text": ["freeze", "boil", "rust", "sprout"], "label": ["A", "B", "C", "D"]},
            "answerKey": "B",
        },
    ),
    "commonsense_qa": (
        "commonsense_qa",
        "validation",
        {
            "id": "0f",
            "question": "Where would you keep milk cold?",
            "question_concept": "milk",
            "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["oven", "fridge", "drawer", "shelf", "bath"]},
            "answerKey": "B",
        },
    ),
    "piqa": (
        "piqa",
        "validation",
        {
            "goal": "To keep soup warm on the way,",
            "sol1": "pour it into a thermos",
            "sol2": "pour it into a sieve ",
            "label": 0,
        },
    ),
    "social_i_qa": (
        "social_i_qa",
        "validation",
        {
            "context": "Kim lent Alex an umbrella.",
            "question": "How would Alex feel afterwards?",
            "answerA": "hungry",
            "answerB": "tall",
            "answerC": "grateful",
            "label": "3",
        },
    ),
    "gsm8k": (
        "gsm8k",
        "test",
        {
            "question": "A baker fills 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?",
            "answer": "There are 3*12 = <<3*12=36>>36 rolls.\n36-20 = <<36-20=16>>16 are left.\n#### 16",
        },
    ),
    "multiarith": (
        "MultiArith",
        "test",
        {"question": " Sam packed 4 bags with 6 apples each. How many apples is that? ", "final_ans": "24"},
    ),
    "math": (
        "hendrycks_math",
        "test",
        {
            "problem": "If $2x + 6 = 7$, what is $x$?",
            "level": "Level 1",
            "type": "Algebra",
            "solution": "We get $2x = 1$, so $x = \\boxed{\\frac{1}{2}}$.",
        },
    ),
    "mmlu": (
        "mmlu",
        "test",
        {
            "question": " What is the freezing point of water in °C?",
            "subject": "high_school_chemistry",
            "choices": ["0", "32", "100", "-40"],
            "answer": 0,
        },
    ),
}
"""Benchmark -> the data set's folder, its split that serves as test, a row."""

PROMPTS = {
    "openbookqa": """\
Choose the answer to the question only from options A, B, C, D.
Question: A pan of water left on a lit stove will
Choices:
A) freeze
B) boil
C) rust
D) sprout
Answer:""",
    "commonsense_qa": """\
Choose the answer to the question only from options A, B, C, D, E.
Question: Where would you keep milk cold?
Choices:
A) oven
B) fridge
C) drawer
D) shelf
E) bath
Answer:""",
    "piqa": """\
Choose the answer to the question only from options A, B.
Question: To keep soup warm on the way,
Choices:
A) pour it into a thermos
B) pour it into a sieve
Answer:""",
    "social_i_qa": """\
Choose the answer to the question only from options A, B, C.
Question: Kim lent Alex an umbrella. How would Alex feel afterwards?
Choices:
A) hungry
B) tall
C) grateful
Answer:""",
    "gsm8k": """\
Answer the following mathematical question with numerical solution.
Question: A baker fills 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?
Answer:""",
    "multiarith": """\
Answer the following mathematical question with numerical solution.
Question: Sam packed 4 bags with 6 apples each. How many apples is that?
Answer:""",
    "math": """\
Answer the following mathematical question with numerical solution.
Question: If $2x + 6 = 7$, what is $x$?
Answer:""",
    "mmlu": """\
Choose the answer to the question only from options A, B, C, D.
Question: What is the freezing point of water in °C?
Choices:
A) 0
B) 32
C) 100
D) -40
Answer:""",
}

TARGETS = {
    "openbookqa": "B",
    "commonsense_qa": "B",
    "piqa": "A",
    "social_i_qa": "C",
    "gsm8k": "16",
    "multiarith": "24",
    "math": "\\frac{1}{2}",
    "mmlu": "A",
}


def write_data_dir(folder: Path, copies: int = 1) -> Path:
    """Write each example's row, so many times, as the test split of a data folder."""
    for directory, split, row in ROWS.values():
        path = folder / directory / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(copies * f"{json.dumps(row)}\n", encoding="utf-8")
    return folder
