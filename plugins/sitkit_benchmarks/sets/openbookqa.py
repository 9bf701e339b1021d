"""OpenBookQA: elementary science, four options (Mihaylov et al. 2018, arXiv 1809.02789).

A row, in the set's format:

    {"id": "9-1", "question_stem": "A pan of water left on a lit stove will",
     "choices": {"text": ["freeze", "boil", "rust", "sprout"], "label": ["A", "B", "C", "D"]}, "answerKey": "B"}

Source: https://huggingface.co/datasets/allenai/openbookqa, config "main", 4957 train, 500 validation and 500 test rows;
the authors' code is in https://github.com/allenai/OpenBookQA (Apache-2.0; no licence is stated for the data). The paper
trains on 1000 rows of each class and tests on the validation split (section 3.1, Table 8).
"""

from __future__ import annotations

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Balanced, Whole
from sitkit_benchmarks.rows import Row, read_choices
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed:
    """Read a row: the stem is the question, which is often a sentence to be finished."""
    choices, target = read_choices(row)
    return Parsed(row.text("question_stem"), target, choices)


OPENBOOKQA = Table(
    name="openbookqa",
    domain="qa",
    kind="choice",
    source=Source(
        hub_id="allenai/openbookqa",
        configs=("main",),
        revision="388097ea7776314e93a529163e0fea805b8a6454",
        folder="openbookqa",
        splits={"train": "train", "test": "validation"},
    ),
    parse=parse,
    draws={"train": Balanced(1000), "test": Whole()},
    column="OBQA",
)
