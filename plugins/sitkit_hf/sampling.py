"""The next token of each row: the likeliest, or a draw that depends on nothing but the row's own stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_DRAW = {"cpu": 1 << 15, "mps": 1 << 15, "cuda": 1 << 18}
"""Random numbers drawn at a time for a row, by device. Constants, so that a row's stream does not depend on the batch.

On a GPU each draw is a launch of its own, which takes as long for a vocabulary as for one number: with 1 << 15 a model
of 49,000 tokens has one launch for each row at each token.
"""

_BRIEF = 8
"""On a CPU the first draw is of so many steps only: many an answer is a few tokens, and noise is a third of the work.

A CPU's generator gives the beginning of a longer draw the same numbers, so a row that goes on draws its first numbers
again, with the rest of them, and its stream is the same.
"""


def drawn_ahead(vocabulary: int, device: str) -> int:
    """Return of how many tokens the noise of a row is drawn at once on a type of device."""
    return max(1, _DRAW[device] // vocabulary)


class GumbelRows:
    """Samples from softmax(logits / temperature) by the Gumbel-max trick, each row with noise from its own generator.

    So neither batch size, nor order, nor a resume changes a draw.
    """

    def __init__(
        self, seeds: Sequence[int], temperature: float, device: Any, *, top_p: float = 1.0, top_k: int = 0
    ) -> None:
        import torch

        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.generators = _generators(seeds, device)
        self.seeds = list(seeds)
        self.brief = _BRIEF if torch.device(device).type == "cpu" else 0
        self.step = 0
        self.noise: Any = None

    def choose(self, logits: Any) -> Any:
        """Return the next token of each row: shape (rows,) from logits of shape (rows, vocabulary)."""
        steps = drawn_ahead(logits.shape[1], logits.device.type)
        brief = self.brief if self.brief < steps else 0
        if self.step == 0 and brief:
            self.noise = self._draw(_generators(self.seeds, logits.device), brief, logits)
        elif self.step == brief or self.step % steps == 0:
            # Given back first: there is room for one of them.
            self.noise = None
            self.noise = self._draw(self.generators, steps, logits)
        noise = self.noise[:, self.step % steps]
        self.step += 1
        return (self._kept(logits.float() / self.temperature) + noise).argmax(dim=-1)

    def _kept(self, scores: Any) -> Any:
        """Return the scores, -inf for tokens that top_k and then top_p leave out; the likeliest always stays."""
        if 0 < self.top_k < scores.shape[1]:
            least = scores.topk(self.top_k, dim=-1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -math.inf)
        if self.top_p < 1:
            ranked, tokens = scores.sort(dim=-1, descending=True, stable=True)
            shares = ranked.softmax(dim=-1)
            # What the likelier ones leave open is nothing once they reach top_p.
            out = shares.cumsum(dim=-1) - shares >= self.top_p
            scores = scores.masked_fill(out.scatter(1, tokens, out), -math.inf)
        return scores

    def keep(self, rows: Any) -> None:
        """Go on with these rows only: indices as a tensor of shape (rows kept,)."""
        self.generators = [self.generators[row] for row in rows.tolist()]
        self.seeds = [self.seeds[row] for row in rows.tolist()]
        self.noise = self.noise[rows]

    def _draw(self, generators: Sequence[Any], steps: int, logits: Any) -> Any:
        import torch

        drawn = torch.empty(len(generators), steps, logits.shape[1], device=logits.device)
        for row, generator in zip(drawn, generators, strict=True):
            row.exponential_(generator=generator)
        return drawn.clamp_(min=torch.finfo(torch.float32).tiny).log_().neg_()


def _generators(seeds: Sequence[int], device: Any) -> list[Any]:
    import torch

    return [torch.Generator(device=device).manual_seed(seed) for seed in seeds]


class Greedy:
    """Takes the likeliest token of each row."""

    def choose(self, logits: Any) -> Any:
        """Return the next token of each row: shape (rows,) from logits of shape (rows, vocabulary)."""
        return logits.argmax(dim=-1)

    def keep(self, rows: Any) -> None:
        """Go on with these rows only: greedy rows have no state."""
