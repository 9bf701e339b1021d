"""LoRA layers computed through their sum: W + s B A is built once a forward pass, and each token meets one matrix.

Mathematically what PEFT computes, W x + s B (A x), and equal up to rounding, gradients included. It is faster where the
layer is small against its rank: PEFT's way costs three products and two sums a token, of which the thin ones run far
below a CPU's speed.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

_GAIN = 3
"""How much slower the thin products run than square ones, measured on a CPU; on a GPU they are not replaced."""


def speed_up(model: Any) -> int:
    """Replace the forward of small LoRA layers of a PeftModel, and return of how many.

    A layer with dropout, in 4 bits, or with another kind of adapter keeps PEFT's forward.
    """
    import torch
    from peft.tuners.lora import Linear

    count = 0
    for module in model.modules():
        if type(module) is not Linear or type(module.get_base_layer()) is not torch.nn.Linear:
            continue
        if _gains(module):
            module.forward = MethodType(_forward, module)
            count += 1
    return count


def _gains(layer: Any) -> bool:
    weight = layer.get_base_layer().weight
    rank = max(layer.r.values(), default=0)
    rows, columns = weight.shape
    # Multiplications a token, forward and backward, beyond those of the frozen layer: A and B, or W's own gradient.
    return weight.device.type == "cpu" and rows * columns <= _GAIN * 3 * rank * (rows + columns)


def _forward(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    import torch

    base = self.get_base_layer()
    active = [name for name in self.active_adapters if name in self.lora_A]
    if (
        args
        or kwargs
        or self.disable_adapters
        or self.merged
        or len(active) != 1
        or active[0] in self.lora_variant
        or (self.training and getattr(self.lora_dropout[active[0]], "p", 0.0) > 0)
        or x.dtype != base.weight.dtype
        or self.lora_A[active[0]].weight.dtype != x.dtype
    ):
        return type(self).forward(self, x, *args, **kwargs)
    (name,) = active
    added = self.lora_B[name].weight @ self.lora_A[name].weight
    if self.fan_in_fan_out or self.lora_B[name].bias is not None:
        return type(self).forward(self, x)
    return torch.nn.functional.linear(x, base.weight + added * self.scaling[name], base.bias)
