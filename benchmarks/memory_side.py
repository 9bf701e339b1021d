"""One side of the memory line, in a process of its own: ``python -m benchmarks.memory_side SIDE FOLDER STEPS``.

Prints what was held before and at the peak, in MiB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.measure import peak_memory
from benchmarks.training import instruct, instruct_settings, refine, refine_settings, stock_dpo
from benchmarks.work import MIDDLE, llama

BATCH = 4


def main() -> None:
    """Train one side and print its memory."""
    side, folder, steps, data = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    work = llama(16, folder, Path(data) if data else None, MIDDLE)
    start = folder / "start-memory"
    if side == "prepare":
        instruct(work, work.student(), instruct_settings(BATCH, 1), start)
        return
    import trl.trainer.dpo_trainer  # noqa: F401
    from transformers import AutoModelForCausalLM  # noqa: F401

    before = peak_memory()
    if side == "sitkit":
        refine(work, work.student(), start, refine_settings(BATCH, steps))
    else:
        stock_dpo(work, start, refine_settings(BATCH, steps), second_model=side == "second-model")
    sys.stdout.write(json.dumps({"before": before, "peak": peak_memory()}) + "\n")


if __name__ == "__main__":
    main()
