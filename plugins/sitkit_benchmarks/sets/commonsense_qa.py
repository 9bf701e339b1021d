"""CommonsenseQA: everyday knowledge, five options (Talmor et al. 2019, arXiv 1811.00937; MIT licence on the hub).

A row, in the set's format (the random split):

    {"id": "0f", "question": "Where would you keep milk cold?", "question_concept": "milk",
     "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["oven", "fridge", "drawer", "shelf", "bath"]},
     "answerKey": "B"}

Source: https://huggingface.co/datasets/tau/commonsense_qa, 9741 train, 1221 validation and 1140 test rows, the last
without answers. The paper trains on 800 rows of each class and tests on the validation split (section 3.1, Table 8).
"""

from __future__ import annotations

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Balanced, Whole
from sitkit_benchmarks.rows import Row, read_choices
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed:
    """Read a row; the concept the question was written from is no part of it."""
    choices, target = read_choices(row)
    return Parsed(row.text("question"), target, choices)


COMMONSENSE_QA = Table(
    name="commonsense_qa",
    domain="qa",
    kind="choice",
    source=Source(
        hub_id="tau/commonsense_qa",
        configs=(),
        revision="94630fe30dad47192a8546eb75f094926d47e155",
        folder="commonsense_qa",
        splits={"train": "train", "test": "validation"},
    ),
    parse=parse,
    draws={"train": Balanced(800), "test": Whole()},
    column="CSQA",
)
