"""Which layers LoRA adapts, by what the model is made of."""

from __future__ import annotations

from typing import Any

_OTHER_SENSES = r".*(?:vision|visual|audio|image|multi_modal|embed_tokens_extend).*"
"""Towers beside the language model: no text goes through them, so nothing there would ever get a gradient."""


def lora_targets(model: Any) -> dict[str, Any]:
    """Return LoraConfig's ``target_modules`` and ``exclude_modules``: every linear layer but the output layer.

    A mixture of experts keeps its experts as three-dimensional parameters (transformers 5). PEFT would adapt those and
    the router too, which neither takes dropout nor pays: a rank for each expert of each layer. There the linear layers
    are adapted, which is attention and what experts share, as is usual for such models.
    """
    targets: dict[str, Any] = {"target_modules": "all-linear"}
    if _has_fused_experts(model):
        targets["target_modules"] = _linear_names(model)
    if getattr(model.config, "vision_config", None) or getattr(model.config, "audio_config", None):
        targets["exclude_modules"] = _OTHER_SENSES
    return targets


def _has_fused_experts(model: Any) -> bool:
    return any(
        parameter.dim() == 3
        for name, module in model.named_modules()
        if "experts" in name
        for parameter in module.parameters(recurse=False)
    )


def _linear_names(model: Any) -> list[str]:
    import torch

    output = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not output
        }
    )
