"""Log-probabilities of completions without the waste: no padding, no head over prompts, a pair's prompt once.

TRL's trainers ask the model for per-token log-probabilities (``fused_lm_head=True``) and turn them into losses and
metrics. What is replaced here is that one forward: the same numbers, up to rounding, from fewer positions. Rows are
sorted by length into groups of little padding; the output layer runs over completions alone; and where the second half
of the batch repeats the prompts of the first (chosen and rejected), each prompt goes through the model once, with both
answers behind it and a mask between them (Wang and Hegde 2024, arXiv 2410.20305).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

from sitkit.plugin_support import NOTICES
from sitkit_hf.kv_cache import attends_to_all, counts_positions, is_spread
from sitkit_hf.memory import out_of_memory

_LOG = logging.getLogger(NOTICES)

FORWARD = 256
"""What a forward and backward pass costs beside its tokens, in tokens: fewer, larger groups against more padding.

Found on a CPU (docs/speed.md). On a GPU a pass costs more than padding ever does, so all rows go through at once: on an
H100 a step of Llama-2-7b's shape took 1.4 s so, and 3.3 s in groups (docs/speed.md).
"""

_ONE_GROUP = 10**9

_VOCABULARY_TILE = 32768
"""Logits are made for so many vocabulary entries at a time, as TRL does."""

_EXACT = 1e-3
"""Nats by which a token's log-probability may differ in float32; a wrong mask gives many."""

_HALF = 0.05
"""Nats by which log-probabilities may differ on average in half precision.

A logit between 16 and 32 is known to 0.125 in bfloat16, so among hundreds of tokens a few differ by several such steps.
"""

_MARK = "takes_the_short_way"
_SLOWER = "training takes TRL's own forward pass: %s"

_KNOWN = {"input_ids", "attention_mask", "labels", "fused_lm_head"}
_SPECIAL_HEADS = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


@dataclass(frozen=True)
class Unit:
    """What goes through the model in one row: a head, and one tail or two that do not see each other.

    ``rows`` are the tails' rows in the batch, ``ends`` where they end there (exclusive); ``head`` is the length of what
    they share, the whole prompt where there are two.
    """

    rows: tuple[int, ...]
    head: int
    ends: tuple[int, ...]

    @property
    def length(self) -> int:
        """Positions needed: a row's last token predicts nothing and stays out."""
        return self.head + sum(end - self.head - 1 for end in self.ends)


def speed_up(model: Any, *, pairs: bool) -> None:
    """Let a trainer's model take log-probabilities the short way; ``pairs``: the batch is chosen, then rejected.

    ``model`` is what TRL has added its fused output layer to, inside PEFT's wrapper; once is enough. On the first batch
    a few rows are computed both ways; should that fail, or log-probabilities differ by more than rounding explains (an
    architecture that reads positions or masks in its own way), TRL's own forward stays, and a line says so.
    """
    # A mask of one's own takes the place of a sliding window, and a second answer stands further back than it counts.
    pairs = pairs and attends_to_all(model) and counts_positions(model)
    if getattr(model.forward, _MARK, False):
        return
    if why := _unfit(model):
        _LOG.info(_SLOWER, why)
        return
    theirs, trusted = model.forward, list[bool]()

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        # PEFT names every argument of a causal language model's forward, None where it was not given.
        given = {key: value for key, value in kwargs.items() if value is not None and value is not False}
        if args or set(given) != _KNOWN or not _prompts_then_answers(given["attention_mask"], given["labels"]):
            return theirs(*args, **kwargs)
        if not trusted:
            trusted.append(_agree(self, theirs, kwargs, pairs=pairs))
        if not trusted[0]:
            return theirs(**kwargs)
        return _fused(self, kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"], pairs=pairs)

    setattr(forward, _MARK, True)
    model.forward = MethodType(forward, model)


def _unfit(model: Any) -> str:
    config = model.config.get_text_config()
    if is_spread(model):
        return "its layers lie on several GPUs"
    if any(getattr(config, name, None) not in (None, 1.0) for name in _SPECIAL_HEADS):
        return "this model scales or caps its logits"
    if hasattr(config, "output_router_logits"):
        return "this model routes tokens to experts"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"attention is {config._attn_implementation}"
    return ""


def _prompts_then_answers(mask: Any, labels: Any) -> bool:
    """Tell whether each row is a prompt, an answer with labels throughout, and padding."""
    import torch

    steps = torch.arange(mask.shape[1], device=mask.device)
    ends = mask.sum(dim=1, keepdim=True)
    wanted = labels != -100
    firsts = wanted.int().argmax(dim=1, keepdim=True)
    answered = (steps >= firsts) & (steps < ends)
    return bool((firsts > 0).all() and mask.bool().equal(steps < ends) and wanted.equal(answered))


def _agree(model: Any, theirs: Callable[..., Any], kwargs: dict[str, Any], *, pairs: bool) -> bool:
    """Tell whether both ways give the same numbers for a few rows; where they do not, say why."""
    import torch

    count = len(kwargs["input_ids"])
    rows = sorted({0, count // 2 - 1, count // 2, count - 1} if pairs else {0, count - 1})
    few = {
        key: value[rows] if isinstance(value, torch.Tensor) and value.dim() else value for key, value in kwargs.items()
    }
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            expected = theirs(**few)
            why = _difference(model, expected, few, pairs=pairs)
    finally:
        model.train(training)
    if why:
        # Unlike models for which it is known beforehand, this is worth knowing afterwards too.
        _LOG.warning(_SLOWER, f"the shorter one {why} with this model")
    return not why


def _difference(model: Any, expected: Any, few: dict[str, Any], *, pairs: bool) -> str:
    """Return what is wrong with the short way, given what TRL's gives; nothing where all is well."""
    import torch

    try:
        got = _fused(model, few["input_ids"], few["attention_mask"], few["labels"], pairs=pairs)
    except Exception as error:
        # Models differ in how they refuse a mask or positions that they do not know.
        if out_of_memory(error):
            raise
        said, _, _ = str(error).partition("\n")
        return f"fails ({type(error).__name__}: {said})"
    apart = (expected.log_probs - got.log_probs).abs()[got.label_mask].float()
    exact = model.dtype == torch.float32
    found = float(apart.max() if exact else apart.mean())
    # So that no number at all is too much as well.
    return "" if found <= (_EXACT if exact else _HALF) else f"is {found:.3g} nats off"


def _fused(model: Any, ids: Any, mask: Any, labels: Any, *, pairs: bool) -> Any:
    import torch
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import FusedCausalLMOutput

    wanted = labels[:, 1:] != -100
    units = _units(ids, mask, wanted, pairs=pairs)
    hidden, where = list[Any](), list[int]()
    overhead = FORWARD if ids.device.type == "cpu" else _ONE_GROUP
    for group in grouped([unit.length for unit in units], overhead):
        states, found = _states(model, ids, wanted.shape[1], [units[index] for index in group])
        hidden.append(states)
        where += found
    head = model.get_output_embeddings()
    cells = torch.tensor(where, device=wanted.device)
    scored = ChunkedLogProbFunction.apply(
        torch.cat(hidden),
        head.weight,
        head.bias,
        labels[:, 1:].reshape(-1)[cells],
        1.0,
        _VOCABULARY_TILE,
        None,
        1.0,
        ("log_probs", "entropy", "mean_logits", "is_top1"),
    )

    def spread(values: Any) -> Any:
        flat = values.new_zeros(wanted.numel())
        return flat.index_put((cells,), values).view(wanted.shape)

    log_probs, entropy, mean_logits, is_top1 = (spread(scored[place]) for place in (0, 1, 3, 4))
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / max(1, len(where)),
        log_probs=log_probs,
        entropy=entropy,
        mean_logits=mean_logits,
        is_top1=is_top1,
        label_mask=wanted,
    )


def _units(ids: Any, mask: Any, wanted: Any, *, pairs: bool) -> list[Unit]:
    """What goes through the model for a batch: rows by themselves, or pairs around their common prompt."""
    import torch

    # Positions before a row's first label: its prompt.
    prompts = wanted.int().argmax(dim=1) + 1
    measured, half = [prompts, mask.sum(dim=1)], len(ids) // 2
    if pairs:
        same, beyond = ids[:half] == ids[half:], torch.arange(ids.shape[1], device=ids.device) >= prompts[:half, None]
        alike = (same | beyond).all(dim=1) & (prompts[:half] == prompts[half:])
        measured.append(alike.repeat(2))
    # Read back at once: a GPU finishes all it was asked for before it gives a number.
    heads, ends, *shared = torch.stack(measured).tolist()
    if not pairs:
        return [Unit((row,), head, (end,)) for row, (head, end) in enumerate(zip(heads, ends, strict=True))]
    units = []
    for row in range(half):
        other = row + half
        if shared[0][row]:
            units.append(Unit((row, other), heads[row], (ends[row], ends[other])))
        else:
            units += [Unit((one,), heads[one], (ends[one],)) for one in (row, other)]
    return units


def grouped(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Return indices in groups that cost least: rows times the longest of a group, and ``overhead`` for each group."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    best, cut = [0], [0]
    for last in range(1, len(order) + 1):
        longest = lengths[order[last - 1]]
        cost, first = min((best[first] + (last - first) * longest + overhead, first) for first in range(last))
        best.append(cost)
        cut.append(first)
    groups, last = [], len(order)
    while last:
        groups.append(order[cut[last] : last])
        last = cut[last]
    return groups[::-1]


def _states(model: Any, ids: Any, columns: int, units: Sequence[Unit]) -> tuple[Any, list[int]]:
    """Return the hidden states that predict completions, (tokens, width), and each one's cell in (rows, columns)."""
    import torch

    width = max(unit.length for unit in units)
    source, positions, picked, cells = [], [], [], list[int]()
    for place, unit in enumerate(units):
        first = unit.rows[0]
        taken = [first * (columns + 1) + column for column in range(unit.head)]
        seen = list(range(unit.head))
        for row, end in zip(unit.rows, unit.ends, strict=True):
            start = place * width + len(taken)
            taken += [row * (columns + 1) + column for column in range(unit.head, end - 1)]
            seen += range(unit.head, end - 1)
            # The head's last position predicts the first token of every tail.
            picked += [place * width + unit.head - 1, *range(start, start + end - 1 - unit.head)]
            cells += [row * columns + column for column in range(unit.head - 1, end - 1)]
        # Padding on the right is seen by nothing that counts, so any token does.
        filler = width - len(taken)
        source.append(taken + taken[:1] * filler)
        positions.append(seen + [0] * filler)
    device, placed = ids.device, dict[str, Any]()
    if any(len(unit.rows) > 1 for unit in units):
        # Rows of one answer go without: positions that jump at the padding would be taken for packed sequences, and
        # those need a mask, which is slower than plain causal attention.
        placed["position_ids"] = torch.tensor(positions, device=device)
        placed["attention_mask"] = _mask(units, width, device, model)
    output = model.base_model(
        input_ids=ids.reshape(-1)[torch.tensor(source, device=device)], use_cache=False, **placed
    ).last_hidden_state
    return output.reshape(-1, output.shape[-1])[torch.tensor(picked, device=device)], cells


def _mask(units: Sequence[Unit], width: int, device: Any, model: Any) -> Any:
    """Return which position sees which, (rows, 1, width, width)."""
    import torch

    steps = torch.arange(width, device=device)
    # A second tail begins where the first one ends, and sees what lies before the first one's start.
    begins = torch.tensor([unit.head for unit in units], device=device)[:, None, None]
    turns = torch.tensor([unit.ends[0] - 1 if len(unit.rows) == 2 else width for unit in units], device=device)
    turns = turns[:, None, None]
    query, key = steps[None, :, None], steps[None, None, :]
    seen = (key <= query) & ~((query >= turns) & (key >= begins) & (key < turns))
    seen = seen[:, None]
    if model.config.get_text_config()._attn_implementation == "eager":
        smallest = torch.finfo(model.dtype).min
        return torch.zeros(seen.shape, dtype=model.dtype, device=device).masked_fill(~seen, smallest)
    return seen
