"""The peers, loaded once and called as their own documentation does."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.speed.measure import tell

BATCHES = (4, 8, 16, 32, 64, 128, 256)
"""Batch sizes that lm-eval's hf model may be tried with; its best one is measured."""

FIRST = 64


def fastest(rate: Callable[[int], float]) -> int:
    """Return the batch size of the highest rate: from a middle one upwards, or else downwards, while it gets better."""
    best, most = FIRST, _told(rate, FIRST)
    start = BATCHES.index(FIRST)
    for sizes in (BATCHES[start + 1 :], BATCHES[:start][::-1]):
        for size in sizes:
            found = _told(rate, size)
            if found <= most:
                break
            best, most = size, found
        if best != FIRST:
            break
    return best


def _told(rate: Callable[[int], float], size: int) -> float:
    found = rate(size)
    tell(f"  lm-eval at batch {size}: {found:.4g} a second")
    return found


class Harness:
    """lm-eval's hf model, and a count of the tokens it writes."""

    def __init__(self, model: Path, batch_size: int, device: str = "cpu", dtype: str = "float32") -> None:
        from lm_eval.models.huggingface import HFLM

        with contextlib.redirect_stderr(io.StringIO()):
            self.lm = HFLM(pretrained=str(model), device=device, dtype=dtype, batch_size=batch_size)
        self.tokens = 0
        self._ends = _ends(self.lm.model)
        generate = self.lm.model.generate

        def counted(*args: Any, **kwargs: Any) -> Any:
            written = generate(*args, **kwargs)
            for row in written[:, kwargs["input_ids"].shape[1] :].tolist():
                self.tokens += next((place for place, token in enumerate(row) if token in self._ends), len(row))
            return written

        self.lm.model.generate = counted

    def answer(self, texts: Sequence[str], arguments: Mapping[str, Any]) -> list[str]:
        """Complete the texts."""
        from lm_eval.api.instance import Instance

        requests = [Instance("generate_until", {}, (text, dict(arguments)), index) for index, text in enumerate(texts)]
        with contextlib.redirect_stderr(io.StringIO()):
            answers: list[str] = self.lm.generate_until(requests, disable_tqdm=True)
        return answers


def _ends(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [ends])
