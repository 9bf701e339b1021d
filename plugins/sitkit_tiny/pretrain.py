"""Makes the shipped student from nothing: ``python -m sitkit_tiny.pretrain --out DIR --seed N`` (CPU, one thread).

The student is a Llama pretrained on the world's own text (see `sitkit_tiny.habits`), with the loss on completions
only. Beside the weights and the tokenizer, ``pretraining.json`` tells how they came about.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sitkit_tiny import STUDENT
from sitkit_tiny.habits import Habits, example
from sitkit_tiny.tokens import make_tokenizer

CONTEXT = 2048
"""Longest text in tokens; far beyond the world's, so that real benchmarks' prompts can be read."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The shape of the student and how long it is trained."""

    width: int = 96
    feed_forward: int = 256
    layers: int = 3
    heads: int = 4
    steps: int = 2800
    batch_size: int = 32
    learning_rate: float = 2.5e-3
    warmup_steps: int = 100
    flat_share: float = 0.3
    floor: float = 0.02
    habits: Habits = dataclasses.field(default_factory=Habits)

    def rate(self, step: int) -> float:
        """Return the learning rate at a step: warm-up, flat, then a cosine down to the floor's share."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = max(0.0, step / self.steps - self.flat_share) / (1 - self.flat_share)
        return self.learning_rate * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2)


def main() -> None:
    """Read the command line and pretrain."""
    parser = argparse.ArgumentParser(description="Pretrain the student of sitkit's embedded world.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the student to")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and of the pretraining text")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="optimiser steps")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    pretrain(chosen.out, chosen.seed, Recipe(steps=chosen.steps))


def pretrain(out: Path, seed: int, recipe: Recipe) -> None:
    """Make tokenizer and student and write them to ``out``, with ``pretraining.json`` beside them."""
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(out)
    torch.manual_seed(seed)
    model = make_model(tokenizer, recipe)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    started, curve, smooth = time.perf_counter(), list[tuple[int, float]](), 0.0
    for step in range(recipe.steps):
        first = step * recipe.batch_size
        texts = [example(index, seed, recipe.habits) for index in range(first, first + recipe.batch_size)]
        loss = _backward(model, tokenizer, texts)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad()
        smooth = loss if step == 0 else 0.97 * smooth + 0.03 * loss
        if (step + 1) % max(1, recipe.steps // 14) == 0:
            curve.append((step + 1, round(smooth, 4)))
            _tell(f"step {step + 1}/{recipe.steps}  loss {smooth:.4f}  {time.perf_counter() - started:.0f} s")
            model.save_pretrained(out)
    model.save_pretrained(out)
    told = {
        "seed": seed,
        "recipe": dataclasses.asdict(recipe),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(time.perf_counter() - started),
        "loss": curve,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    settings = STUDENT / "sitkit.json"
    if out.resolve() != STUDENT.resolve():
        shutil.copyfile(settings, out / settings.name)
    (out / "pretraining.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaForCausalLM:
    """Return a student with fresh weights, drawn from torch's current seed."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            # The usual 0.02 is meant for models ten times as wide.
            initializer_range=0.04,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _backward(model: Any, tokenizer: Any, texts: list[tuple[str, str]]) -> float:
    """Add the gradients of one batch, and return its loss per completion token."""
    rows = [
        (tokenizer(prompt)["input_ids"], [*tokenizer(f" {completion}")["input_ids"], tokenizer.eos_token_id])
        for prompt, completion in texts
    ]
    rows.sort(key=lambda row: len(row[0]) + len(row[1]))
    tokens, total = sum(len(completion) for _, completion in rows), 0.0
    # Questions with choices are twice as long as those without: in two halves, little of a batch is padding.
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        ids, labels = _pad(half, tokenizer.pad_token_id)
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        scored = targets != -100
        # The head runs over completions alone: prompts are most of the positions, and carry no loss.
        loss = functional.cross_entropy(model.lm_head(hidden[scored]), targets[scored], reduction="sum") / tokens
        torch.autograd.backward(loss)
        total += loss.item()
    return total


def _pad(rows: list[tuple[list[int], list[int]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), -100)
    for row, (prompt, completion) in enumerate(rows):
        both = torch.tensor(prompt + completion)
        ids[row, : len(both)] = both
        labels[row, len(prompt) : len(both)] = both[len(prompt) :]
    return ids, labels


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
