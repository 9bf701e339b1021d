"""The peers, loaded once and called as their own documentation does."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BATCHES = (32, 64, 128, 256)
"""Batch sizes that lm-eval's hf model is tried with; its best one is measured."""


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
