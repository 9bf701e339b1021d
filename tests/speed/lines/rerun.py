"""A finished run again: everything is found in the store, and torch stays out."""

from __future__ import annotations

import sys

from tests.speed.measure import Options, Row, in_turn, medians, program, run, tell

SMALL = ["--limit", "20", "--test-limit", "10", "--set", "instruct.max_steps=2", "--set", "refine.max_steps=2"]

WITHOUT_TORCH = """
import sys
from sitkit.cli.main import run
code = run(sys.argv[1:])
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "transformers", "trl", "peft", "lm_eval"})
if code or heavy:
    raise SystemExit(f"exit code {code}, imported {heavy}")
"""


def measure(options: Options) -> list[Row]:
    """Run once, then again and again; which stages there are does not depend on their size, so a small run will do."""
    command = [
        program("sitkit"),
        "run",
        "--workspace",
        str(options.folder / "rerun"),
        *(SMALL if options.quick else []),
    ]
    log = options.folder / "rerun.log"
    tell("  the run itself")
    run(command, log)
    run([sys.executable, "-c", WITHOUT_TORCH, *command[1:]], log)
    taken = in_turn(max(5, options.pairs), {"sitkit": lambda: run(command, log).seconds})
    return [Row("rerun", "embedded", "s", medians(taken)["sitkit"], limit=0.5, note="no torch imported", samples=taken)]
