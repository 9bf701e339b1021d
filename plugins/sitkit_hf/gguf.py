"""GGUF files: each is turned once into a folder of safetensors, in the user's cache, and everything works on that.

transformers reads a GGUF but neither trains nor saves what it reads. Weights that are quantised in the file are stored
as the float32 values that they stand for, exactly those that transformers reads. The folder is that of the hub's assets
(HF_ASSETS_CACHE, by default ~/.cache/huggingface/assets). Imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from importlib.metadata import version
from pathlib import Path

from sitkit.errors import ModelError
from sitkit.plugin_support import NOTICES, check_loaded, quiet
from sitkit.types import Json
from sitkit_hf.checkpoints import changed, disk_errors, seal

_LOG = logging.getLogger(NOTICES)

_ORIGIN = "gguf.json"

_MADE_BY = 2
"""Goes up with what is made of a file, so that older folders are made anew."""


def gguf_digest(gguf: Path) -> str:
    """Return the sha256 of all of the file, so that it is the same wherever and whenever the file was put there."""
    with gguf.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def converted_folder(gguf: Path) -> Path:
    """Return the folder that holds the file as safetensors once it has been turned into them."""
    from huggingface_hub import cached_assets_path

    home: Path = cached_assets_path("sitkit", "gguf", gguf_digest(gguf))
    return home / "model"


def converted(gguf: Path) -> Path:
    """Return the folder that holds the file as safetensors, made first where there is none, or a damaged one.

    Raises what transformers raises for a file that it cannot read, and OSError where the cache cannot be written.
    """
    from filelock import FileLock

    folder = converted_folder(gguf)
    home = folder.parent
    part = home / "part"
    with FileLock(home / "lock"):
        if folder.is_dir():
            damage = changed(folder, ("config.json", _ORIGIN))
            if damage is None and _makers(_origin(folder)) == (_MADE_BY, version("transformers")):
                return folder
            if damage is not None:
                _LOG.warning("%s: damaged on disk, made anew from %s: %s", folder, gguf.name, damage)
            shutil.rmtree(folder)
        _LOG.info("%s is turned into safetensors, once", gguf.name)
        # What a kill has left.
        shutil.rmtree(part, ignore_errors=True)
        try:
            with quiet(streams=True), disk_errors():
                _convert(gguf, part)
        except (OSError, RuntimeError, MemoryError, ValueError, ImportError, ModelError):
            raise
        except Exception as error:
            # A file that was cut ends reading in any way, and tokenizers raises Exception itself.
            raise ValueError(f"{type(error).__name__}: {error}") from error
        seal(part)
        part.rename(folder)
    return folder


def quantization(folder: Path) -> str:
    """Return the types of quantised weights that the file held, as in "Q4_1, Q8_0"; nothing where none were."""
    return ", ".join(_origin(folder)["quantized"])


def _makers(origin: Json) -> tuple[Json, Json]:
    return origin.get("made_by"), origin.get("transformers")


def _origin(folder: Path) -> Json:
    return json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))


def _convert(gguf: Path, out: Path) -> None:
    import torch
    from gguf import GGML_QUANT_SIZES, GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model, loaded = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        gguf_file=gguf.name,
        dtype=torch.float32,
        # Where the package kernels is installed, weights would stay packed otherwise.
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
    )
    check_loaded(gguf.name, loaded, config="its metadata")
    # What transformers refuses to save a model for; its weights are plain by now.
    model.hf_quantizer = None
    model.save_pretrained(str(out))
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    reader = GGUFReader(gguf)
    split = reader.get_field("tokenizer.ggml.pre")
    if split is not None and split.contents() == "smollm":
        # transformers (5.23) reads the name of this way of splitting text and splits as GPT-2 does: white space and the
        # digit after it come apart elsewhere than in what the model was trained on.
        from tokenizers.pre_tokenizers import ByteLevel, Digits
        from tokenizers.pre_tokenizers import Sequence as Splits

        tokenizer.backend_tokenizer.pre_tokenizer = Splits(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        )
    tokenizer.save_pretrained(str(out))
    types = {tensor.tensor_type for tensor in reader.tensors}
    # Plain numbers lie one in a block.
    quantized = sorted(kind.name for kind in types if GGML_QUANT_SIZES[kind][0] > 1)
    origin = {
        "file": gguf.name,
        "quantized": quantized,
        "made_by": _MADE_BY,
        "transformers": version("transformers"),
    }
    (out / _ORIGIN).write_text(json.dumps(origin), encoding="utf-8")
