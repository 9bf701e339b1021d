"""MultiArith: arithmetic word problems of a few steps, without worked solutions (Roy and Roth 2015, arXiv 1608.01413).

A row, in the set's format (questions have a blank at both ends):

    {"question": " Sam packed 4 bags with 6 apples each. If 5 apples went bad, how many were good? ", "final_ans": "19"}

Source: https://huggingface.co/datasets/ChilleD/MultiArith, 420 train and 180 test rows; no licence is stated there.
The paper trains and tests on the full splits (section 3.1).
"""

from __future__ import annotations

import re

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def parse(row: Row) -> Parsed:
    """Read a row: the target is ``final_ans``."""
    target = row.text("final_ans").replace(",", "")
    if not _NUMBER.fullmatch(target):
        raise row.wrong("final_ans", f"expected a number, got {target[:40]!r}")
    return Parsed(row.text("question"), target)


MULTIARITH = Table(
    name="multiarith",
    domain="math",
    kind="number",
    source=Source(
        hub_id="ChilleD/MultiArith",
        configs=(),
        revision="144d44c3fb87c0b9097ac9593c789e716a282e3e",
        folder="MultiArith",
        splits={"train": "train", "test": "test"},
    ),
    parse=parse,
    column="MultiArith",
)
