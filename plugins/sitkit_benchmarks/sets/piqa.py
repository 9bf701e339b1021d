"""PIQA: how to do a thing in the physical world, two options (Bisk et al. 2020, arXiv 1911.11641; AFL-3.0).

A row, in the set's format (``label`` 0 is the first option):

    {"goal": "To keep soup warm on the way,", "sol1": "pour it into a thermos", "sol2": "pour it into a sieve",
     "label": 0}

Source: https://huggingface.co/datasets/baber/piqa, a copy in Parquet of ybisk/piqa, whose loading script
today's datasets does not run; 16113 train, 1838 validation and 3084 test rows, the last without answers. The paper
trains on 2000 rows of each class and tests on the validation split (section 3.1, Table 8).
"""

from __future__ import annotations

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Balanced, Whole
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed:
    """Read a row: the goal is the question, as in the paper's Table 7."""
    choices = (row.text("sol1"), row.text("sol2"))
    return Parsed(row.text("goal"), row.counted_letter("label", len(choices), first=0), choices)


PIQA = Table(
    name="piqa",
    domain="qa",
    kind="choice",
    source=Source(
        hub_id="baber/piqa",
        configs=(),
        revision="142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
        folder="piqa",
        splits={"train": "train", "test": "validation"},
    ),
    parse=parse,
    draws={"train": Balanced(2000), "test": Whole()},
    column="PIQA",
)
