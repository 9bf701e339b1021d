"""``sitkit --help`` and ``sitkit run --help`` against ``lm_eval --help`` and ``trl dpo --help``."""

from __future__ import annotations

from tests.speed.measure import Options, Row, in_turn, medians, program, run

WORK = (
    ("sitkit --help", ["sitkit", "--help"], "lm_eval --help", ["lm_eval", "--help"], 1.5),
    ("sitkit run --help", ["sitkit", "run", "--help"], "lm_eval --help", ["lm_eval", "--help"], 1.5),
    ("sitkit --help", ["sitkit", "--help"], "trl dpo --help", ["trl", "dpo", "--help"], 20.0),
    ("sitkit run --help", ["sitkit", "run", "--help"], "trl dpo --help", ["trl", "dpo", "--help"], 20.0),
)


def measure(options: Options) -> list[Row]:
    """Start the programs in turn; the first start of each, from a cold disk, is not counted."""
    rows = []
    log = options.folder / "help.log"
    pairs = max(5, options.pairs)
    for ours, mine, theirs, other, goal in WORK:
        sides = {
            "sitkit": lambda mine=mine: run([program(mine[0]), *mine[1:]], log).seconds,
            "peer": lambda other=other: run([program(other[0]), *other[1:]], log).seconds,
        }
        in_turn(1, sides)
        taken = in_turn(pairs, sides)
        middle = medians(taken)
        rows.append(Row("help", f"{ours} against {theirs}", "s", middle["sitkit"], middle["peer"], goal, samples=taken))
    return rows
