"""MMLU: 57 school and professional subjects, four options (Hendrycks et al. 2021, arXiv 2009.03300; MIT licence).

A row, in the set's format (``answer`` 0 is the first option):

    {"question": "What is the freezing point of water in °C?", "subject": "high_school_chemistry",
     "choices": ["0", "32", "100", "-40"], "answer": 0}

Source: https://huggingface.co/datasets/cais/mmlu, config "all", 14042 test rows, sorted by subject. MMLU has no train
split of its own; the paper takes 25% to train and leaves it out of the test (Figure 5): here a quarter of each
subject's test rows by seed, the other three quarters being the test. Its dev and validation splits are not used.
"""

from __future__ import annotations

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Share
from sitkit_benchmarks.identity import lines
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed:
    """Read a row; the subject is no part of the question."""
    choices = row.texts("choices")
    target = row.counted_letter("answer", len(choices), first=0)
    return Parsed(row.text("question"), target, choices, group=row.text("subject"))


MMLU = Table(
    name="mmlu",
    domain="qa",
    kind="choice",
    source=Source(
        hub_id="cais/mmlu",
        configs=("all",),
        revision="c30699e8356da336a370243923dbaf21066bb9fe",
        folder="mmlu",
        splits={"train": "test", "test": "test"},
    ),
    parse=parse,
    draws={"train": Share(0.25), "test": Share(0.25, rest=True)},
    fold=lines,
)
