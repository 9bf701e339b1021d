"""Lend the loaded base model to a trainer and take it back as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from sitkit_hf.loading import Models


@contextlib.contextmanager
def adapted(models: Models, attach: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield ``attach(base)``, a PeftModel on top of the base; afterwards the base has no trace of it.

    PEFT replaces layers in place, and TRL patches the base's forward, its dropout, its config and its hooks.
    """
    base = models.for_training()
    restore = _snapshot(base)
    try:
        model = attach(base)
    except BaseException:
        # Layers may be half replaced.
        models.close()
        raise
    try:
        yield model
    finally:
        if getattr(base, "is_activation_checkpointing", False):
            base.gradient_checkpointing_disable()
        if hasattr(base, "_require_grads_hook"):
            base.disable_input_require_grads()
        model.unload()
        restore()


@contextlib.contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed every generator inside the block, and set them back afterwards."""
    import random

    import numpy
    import torch
    from transformers import set_seed

    python, array = random.getstate(), numpy.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            set_seed(seed)
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(array)


def switch_attention_dropout_off(model: Any) -> None:
    """Set the dropout of attention weights to 0, which is no module, so that TRL's disable_dropout does not see it.

    The reference's log-probabilities are taken without it, and DPO has to start from the same ones.
    """
    for module in _with_attention_dropout(model):
        module.attention_dropout = 0.0


def _with_attention_dropout(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(getattr(module, "attention_dropout", None), float)]


def _snapshot(base: Any) -> Callable[[], None]:
    import torch

    holders = [base, base.config, base.config.get_text_config(), base.generation_config]
    saved = [(holder, dict(vars(holder))) for holder in holders if holder is not None]
    dropouts = [(module, module.p) for module in base.modules() if isinstance(module, torch.nn.Dropout)]
    attention = [(module, module.attention_dropout) for module in _with_attention_dropout(base)]

    def restore() -> None:
        for holder, attributes in saved:
            vars(holder).clear()
            vars(holder).update(attributes)
        for module, p in dropouts:
            module.p = p
        for module, p in attention:
            module.attention_dropout = p
        base.requires_grad_(False)
        base.eval()

    return restore
