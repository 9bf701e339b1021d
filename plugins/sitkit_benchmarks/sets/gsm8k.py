"""GSM8K: grade-school word problems with worked solutions (Cobbe et al. 2021, arXiv 2110.14168; MIT licence).

A row, in the set's format:

    {"question": "A baker fills 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?",
     "answer": "The baker makes 3*12 = <<3*12=36>>36 rolls.\\nThere are 36-20 = <<36-20=16>>16 rolls left.\\n#### 16"}

Source: https://huggingface.co/datasets/openai/gsm8k, config "main", 7473 train and 1319 test rows; the authors' files
are in https://github.com/openai/grade-school-math. The paper trains and tests on the full splits (section 3.1).
"""

from __future__ import annotations

import re

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def parse(row: Row) -> Parsed:
    """Read a row: the target follows "####"; the solution loses its calculator marks and ends in a sentence."""
    answer = row.text("answer")
    worked, marker, final = answer.rpartition("####")
    target = final.strip().replace(",", "")
    if not marker or not _NUMBER.fullmatch(target):
        raise row.wrong("answer", f"expected a number after a last '####', got {answer[-40:]!r}")
    solution = f"{_CALCULATOR.sub('', worked).strip()}\nThe answer is {target}."
    return Parsed(row.text("question"), target, solution=solution.strip())


GSM8K = Table(
    name="gsm8k",
    domain="math",
    kind="number",
    source=Source(
        hub_id="openai/gsm8k",
        configs=("main",),
        revision="e53f048856ff4f594e959d75785d2c2d37b678ee",
        folder="gsm8k",
        splits={"train": "train", "test": "test"},
    ),
    parse=parse,
    column="GSM8K",
)
