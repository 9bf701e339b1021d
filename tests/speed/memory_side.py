"""One side of the memory line, in a process of its own: ``memory_side SIDE FOLDER STEPS DATA DEVICE``.

Prints what was held before and at the peak, in MiB: of the process, or, on a GPU, of what torch took there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.speed.measure import peak_memory
from tests.speed.training import (
    explore_settings,
    instruct,
    instruct_settings,
    online,
    refine,
    refine_settings,
    stock_dpo,
    stock_online,
)
from tests.speed.work import MIDDLE, SEVEN, llama

BATCH = 4


def main() -> None:
    """Train one side and print its memory."""
    side, folder, steps, data, device = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    work = llama(16, folder, Path(data) if data else None, SEVEN if device == "cuda" else MIDDLE, device)
    start = folder / "start-memory"
    if side == "prepare":
        instruct(work, work.student(trains=True), instruct_settings(BATCH, 1), start)
        return
    import torch
    import trl.trainer.distillation_trainer
    import trl.trainer.dpo_trainer
    import trl.trainer.grpo_trainer  # noqa: F401
    from transformers import AutoModelForCausalLM  # noqa: F401

    def held() -> float:
        return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory()

    before = held()
    if side in ("sitkit grpo", "sitkit gkd"):
        online(side.split()[1], work, work.student(trains=True), start, explore_settings(2, steps, 64))
    elif side in ("trl grpo", "trl gkd"):
        stock_online(side.split()[1], work, start, explore_settings(2, steps, 64))
    elif side == "sitkit":
        refine(work, work.student(trains=True), start, refine_settings(BATCH, steps))
    else:
        stock_dpo(work, start, refine_settings(BATCH, steps), second_model=side == "second-model")
    sys.stdout.write(json.dumps({"before": before, "peak": held()}) + "\n")


if __name__ == "__main__":
    main()
