"""Write what a student learnt as a folder that transformers, PEFT and lm-eval load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sitkit_hf.disk import disk_errors
from sitkit_hf.loading import Models, check_adapter
from sitkit_hf.quiet import quiet
from sitkit_hf.training import write_adapter_config


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
            write_adapter_config(out, models.options.model)
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
