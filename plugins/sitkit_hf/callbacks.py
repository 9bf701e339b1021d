"""What happens between the steps of a trainer: progress, further checkpoints, and a loss that makes sense."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sitkit.errors import ModelError
from sitkit.types import Progress


def watcher(
    stage: str, progress: Progress, *, save_steps: int, evaluates: bool, first_loss: Callable[[float], None] | None
) -> Any:
    """Return a TrainerCallback.

    It reports progress, saves every ``save_steps`` steps, evaluates once more at the end where there is something to
    evaluate on, hands the first step's loss to ``first_loss``, and raises `ModelError` when a loss is not a number.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.best_model_checkpoint:
                # Noted as a path of the run that was killed; its folder may have moved since.
                state.best_model_checkpoint = str(Path(args.output_dir) / Path(state.best_model_checkpoint).name)
            progress(state.global_step, state.max_steps)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            progress(state.global_step, state.max_steps)
            at_end = state.global_step >= state.max_steps
            if at_end or state.global_step % save_steps == 0:
                control.should_save = True
            if evaluates and at_end:
                control.should_evaluate = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(loss):
                raise ModelError(
                    f"the loss of {stage} is {loss} at step {state.global_step}; lower {stage}.learning_rate"
                )
            if state.global_step == 1 and first_loss is not None:
                first_loss(float(loss))

    return Watcher()
