"""Peak memory of refining from an adapter: DPO against stock DPOTrainer with a second model, grpo and gkd against TRL's
trainers as they are."""

from __future__ import annotations

import json
import statistics
import sys

from tests.speed.lines.online import KINDS
from tests.speed.measure import Options, Row, run, tell


def measure(options: Options) -> list[Row]:
    """Train each side in processes of its own; what the imports alone take is taken off."""
    steps = "1" if options.quick else "3"
    module = [sys.executable, "-m", "tests.speed.memory_side"]
    rest = [str(options.folder), steps, str(options.data or ""), options.device]
    run([*module, "prepare", *rest], options.folder / "prepare.log")
    held: dict[str, list[float]] = {"sitkit": [], "second-model": [], "one-model": []}
    held |= {f"{side} {kind}": [] for kind in KINDS for side in ("sitkit", "trl")}
    for turn in range(options.pairs):
        for side in held:
            log = options.folder / f"{side.replace(' ', '-')}.log"
            run([*module, side, *rest], log)
            told = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
            held[side].append(told["peak"] - told["before"])
            tell(f"  pair {turn + 1} of {options.pairs}, {side}: {held[side][-1]:.0f} MiB above {told['before']:.0f}")
    middle = {side: statistics.median(values) for side, values in held.items()}
    work = "llama-7b" if options.device == "cuda" else "llama of 98 M"
    return [
        Row(
            "memory",
            work,
            "MiB",
            middle["sitkit"],
            middle["second-model"],
            goal=1 / 0.6,
            note=f"above the imports; with one model and precomputed references: {middle['one-model']:.0f} MiB",
            samples={side: values for side, values in held.items() if " " not in side},
        ),
        *(
            Row(
                "memory",
                f"{work}, {kind}",
                "MiB",
                middle[f"sitkit {kind}"],
                middle[f"trl {kind}"],
                note="above the imports",
                samples={side: values for side, values in held.items() if side.endswith(f" {kind}")},
            )
            for kind in KINDS
        ),
    ]
