"""LoRA adapters: which layers they adapt, put on the base and taken off again, merged into it, saved, exported."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitkit.errors import ModelError
from sitkit.plugin_support import check_finite, check_loaded, quiet
from sitkit_hf.checkpoints import disk_errors
from sitkit_hf.memory import out_of_memory, total_bytes

if TYPE_CHECKING:
    from sitkit_hf.loading import Models

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


@contextlib.contextmanager
def adapted(models: Models, attach: Callable[[Any], Any], *, attention: str | None = None) -> Iterator[Any]:
    """Yield ``attach(base)``, a PeftModel on top of the base; afterwards the base has no trace of it.

    ``attention`` is the implementation to train with, if not the one that the model was loaded with. PEFT replaces
    layers in place, and TRL patches the base's forward, its dropout, its config and its hooks.
    """
    base = models.for_training()
    restore = _snapshot(base)
    if attention:
        base.set_attn_implementation(attention)
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


def trainable_adapter(model: Any, start: Path, base: str) -> Any:
    """Return the model with the adapter in ``start`` on top, to be trained further. Raises `ModelError` if it cannot.

    ``base`` is the folder that PEFT reads the base's config from at every checkpoint.
    """
    adapter = _with_adapter(model, start, trainable=True)
    adapter.peft_config["default"].base_model_name_or_path = base
    return adapter


def merge(model: Any, adapter: Path) -> Any:
    """Return the model with the adapter merged into its weights, in place. Raises `ModelError` if it does not fit."""
    import torch

    # PEFT draws first weights before it loads the adapter's.
    with quiet(), torch.random.fork_rng():
        return _with_adapter(model, adapter, trainable=False).merge_and_unload()


@contextlib.contextmanager
def merged_meanwhile(model: Any, name: str, setting: str) -> Iterator[Any]:
    """Yield what a PeftModel has put the adapter "default" on, with the adapter in its weights, to generate with.

    Afterwards they are the very weights that they were: taking the adapter out of them again would round. Weights of 4
    bits stay as they are, with the adapter beside them, and so do those that take more than a quarter of the device's
    memory. Of all its memory and not of what is free: merged or not, answers differ by rounding, and a training that
    goes on after a kill must write those it would have written. Raises `ModelError` where the adapter is no longer one
    of numbers; it then names ``name`` and the ``setting`` to lower.
    """
    import torch
    from peft.tuners.lora.layer import Linear

    check_finite(name, _weights(model), setting)
    training, layers = model.training, [one for one in model.modules() if type(one) is Linear]
    kept = [(one, one.get_base_layer().weight.data) for one in layers]
    if sum(weight.nbytes for _, weight in kept) > total_bytes(model.device) // 4:
        kept = []
    model.eval()
    try:
        with torch.no_grad():
            for layer, _ in kept:
                layer.merge(safe_merge=True, adapter_names=["default"])
        yield model.get_base_model()
    finally:
        for layer, weight in kept:
            layer.get_base_layer().weight.data = weight
            layer.merged_adapters.clear()
        model.train(training)


def _with_adapter(model: Any, folder: Path, *, trainable: bool) -> Any:
    """Return the PeftModel, as PEFT's ``from_pretrained`` makes it, which does not return what it could not load."""
    from peft import PeftConfig, PeftModelForCausalLM
    from safetensors import SafetensorError

    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = not trainable
        adapted = PeftModelForCausalLM(model, config, "default")
        loaded = adapted.load_adapter(
            str(folder),
            "default",
            is_trainable=trainable,
            key_mapping=getattr(model, "_checkpoint_conversion_mapping", {}),
        )
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"cannot use the adapter in {folder}: {reason[:300]}") from error
    check_loaded(
        f"the adapter in {folder}",
        {"missing_keys": loaded.missing_keys, "unexpected_keys": loaded.unexpected_keys},
        config="its adapter_config.json and the model",
    )
    check_finite(f"the adapter in {folder}", _weights(adapted), "the learning rate it was trained with")
    return adapted


def _weights(model: Any) -> list[Any]:
    """Return the weights of a PeftModel's adapter "default"."""
    return [parameter for name, parameter in model.named_parameters() if "default" in name.split(".")]


def check_adapter(adapter: Path) -> None:
    """Raise `ModelError` unless the folder holds an adapter as PEFT writes it."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise ModelError(f"{adapter} is not an adapter folder: it has no {name}")


def save_adapter(model: Any, out: Path, base: str) -> None:
    """Write the trained adapter alone, in PEFT's layout, the same bytes for the same weights.

    ``base`` is what adapter_config.json names as the base model. Of several processes the first one writes.
    """
    if not is_first_process():
        return
    with disk_errors():
        model.save_pretrained(str(out), selected_adapters=["default"], save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    write_adapter_config(out, base)


def is_first_process() -> bool:
    """Tell whether this is the one process that trains, or the first of several."""
    import torch

    return not (torch.distributed.is_available() and torch.distributed.is_initialized()) or not (
        torch.distributed.get_rank()
    )


def write_adapter_config(folder: Path, base: str) -> None:
    """Rewrite adapter_config.json with this base model's name, its keys and sets in a fixed order."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export(models: Models, adapter: Path | None, out: Path, *, merge: bool) -> None:
    """Write the adapter and the tokenizer, or with ``merge`` the whole model, as safetensors.

    An exported adapter names its base by hub id or by the folder's path here, so that transformers finds it. The
    untouched base is written whole. The merged weights are those that `complete` generates with, and
    generation_config.json keeps nothing but the special tokens, so that plain ``generate`` and lm-eval answer as the
    student was scored: greedily, without the penalties some models ship.
    """
    out.mkdir(parents=True, exist_ok=True)
    with quiet(), disk_errors():
        if adapter is not None and not merge:
            _copy_adapter(adapter, out)
            write_adapter_config(out, models.place())
        else:
            model = models.generator(adapter)
            model.save_pretrained(str(out))
            _plain_generation(model).save_pretrained(str(out))
        models.tokenizer().save_pretrained(str(out))


def _copy_adapter(adapter: Path, out: Path) -> None:
    check_adapter(adapter)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copyfile(adapter / name, out / name)


def _plain_generation(model: Any) -> Any:
    from transformers import GenerationConfig

    own = model.generation_config
    return GenerationConfig(
        bos_token_id=getattr(own, "bos_token_id", None),
        eos_token_id=getattr(own, "eos_token_id", None),
        pad_token_id=getattr(own, "pad_token_id", None),
    )
