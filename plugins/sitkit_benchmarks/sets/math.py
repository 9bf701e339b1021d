"""MATH: competition problems with worked solutions (Hendrycks et al. 2021, arXiv 2103.03874; MIT licence).

A row, in the set's format:

    {"problem": "If $2x + 6 = 7$, what is $x$?", "level": "Level 1", "type": "Algebra",
     "solution": "We get $2x = 1$, so $x = \\\\boxed{\\\\frac{1}{2}}$."}

Source: https://huggingface.co/datasets/EleutherAI/hendrycks_math, its 7 configs, one a type, one after another; 7500
train and 5000 test rows. The paper takes "25% as the training set" (Figure 5) without saying of what: here it is a
quarter of the set's own train split, by type and seed, and the test split whole, so that scores compare with others'.
"""

from __future__ import annotations

from sitkit.answers import extract
from sitkit.types import Question
from sitkit_benchmarks.benchmark import Parsed, Table
from sitkit_benchmarks.draw import Mixed, Share
from sitkit_benchmarks.identity import symbols
from sitkit_benchmarks.rows import Row
from sitkit_benchmarks.source import Source


def parse(row: Row) -> Parsed | None:
    """Read a row: the target is what the solution's last box holds; two training rows have an empty one: no answer."""
    problem, solution = row.text("problem"), row.text("solution")
    # Read by the reader that reads the students' boxes, so that both understand a box in the same way.
    target = extract(Question("", "", "math", "", problem, None, ""), solution) if "\\boxed" in solution else None
    if target is None and "\\boxed{}" in solution:
        return None
    if target is None:
        raise row.wrong("solution", f"expected the answer in a last \\boxed{{…}}, got …{solution[-40:]!r}")
    return Parsed(problem, target, solution=solution, group=row.text("type"))


MATH = Table(
    name="math",
    domain="math",
    kind="math",
    source=Source(
        hub_id="EleutherAI/hendrycks_math",
        configs=(
            "algebra",
            "counting_and_probability",
            "geometry",
            "intermediate_algebra",
            "number_theory",
            "prealgebra",
            "precalculus",
        ),
        revision="21a5633873b6a120296cce3e2df9d5550074f4a3",
        folder="hendrycks_math",
        splits={"train": "train", "test": "test"},
    ),
    parse=parse,
    draws={"train": Share(0.25), "test": Mixed()},
    fold=symbols,
    # sit_math_* are the groups of all mathematical tasks.
    task="hendrycks_math",
)
