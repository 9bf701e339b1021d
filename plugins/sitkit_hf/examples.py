"""Training examples as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sitkit.types import PreferencePair
from sitkit_hf.prompts import Prompts

IGNORED = -100
"""The label of a token that takes no part in the loss."""


@dataclass
class Examples:
    """Rows for a trainer, and how many were cut at the end or left out because nothing of an answer was left."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    cut: int = 0
    left_out: int = 0

    def warnings(self, stage: str, max_length: int) -> list[str]:
        """Return what the user should know about examples that did not fit."""
        told = []
        if self.cut:
            told.append(
                f"{self.cut} examples were cut at {max_length} tokens ({stage}.max_length, or what the model can see)"
            )
        if self.left_out:
            told.append(f"{self.left_out} examples were left out: at {max_length} tokens nothing is left to learn from")
        return told


def completions(prompts: Prompts, texts: Iterable[tuple[str, str]], max_length: int) -> Examples:
    """Return rows of input_ids and labels for (prompt, completion) texts; the prompt's labels are ignored."""
    examples = Examples()
    for prompt, completion in texts:
        head, tail = prompts.joined(prompt, completion)
        room = max_length - len(head)
        if room <= 0:
            examples.left_out += 1
            continue
        examples.cut += len(tail) > room
        ids = (head + tail)[:max_length]
        examples.rows.append({"input_ids": ids, "labels": [IGNORED] * len(head) + ids[len(head) :]})
    return examples


def preferences(prompts: Prompts, pairs: Sequence[PreferencePair], max_length: int) -> Examples:
    """Return rows of prompt_ids, chosen_ids and rejected_ids; pairs whose sides are the same tokens are left out.

    They would train in silence at a loss of ln 2.
    """
    examples = Examples()
    for pair in pairs:
        head, chosen = prompts.joined(pair.prompt, pair.chosen)
        _, rejected = prompts.joined(pair.prompt, pair.rejected)
        room = max_length - len(head)
        if room <= 0 or chosen[:room] == rejected[:room]:
            examples.left_out += 1
            continue
        examples.cut += len(chosen) > room or len(rejected) > room
        examples.rows.append({"prompt_ids": head, "chosen_ids": chosen[:room], "rejected_ids": rejected[:room]})
    return examples
