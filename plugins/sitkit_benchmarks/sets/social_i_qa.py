"""Social IQa: why people act and how they feel, three options (Sap et al. 2019, arXiv 1904.09728).

A row, in the set's format (``label`` "1" is the first option):

    {"context": "Kim lent Alex an umbrella.", "question": "How would Alex feel afterwards?",
     "answerA": "grateful", "answerB": "hungry", "answerC": "tall", "label": "1"}

Source: https://huggingface.co/datasets/lighteval/siqa, a copy in Parquet of allenai/social_i_qa, whose loading script
today's datasets does not run; 33410 train and 1954 validation rows, no licence stated. The paper trains on 1330 rows of
each class and tests on the validation split (section 3.1, Table 8).
"""

from __future__ import annotations

from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Balanced, Whole
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed:
    """Read a row: the context stands before the question on one line, as in the paper's Table 7."""
    choices = (row.text("answerA"), row.text("answerB"), row.text("answerC"))
    question = f"{row.text('context')} {row.text('question')}"
    return Parsed(question, row.counted_letter("label", len(choices), first=1), choices)


SOCIAL_I_QA = Table(
    name="social_i_qa",
    domain="qa",
    kind="choice",
    source=Source(
        hub_id="lighteval/siqa",
        configs=(),
        revision="54c6a1f8cb6daf4f5abf24a601852612fb35eb25",
        folder="social_i_qa",
        splits={"train": "train", "test": "validation"},
    ),
    parse=parse,
    draws={"train": Balanced(1330), "test": Whole()},
    column="SIQA",
)
