"""What determines a model, as keys need to know it, and what its folder recommends. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import sitkit
from sitkit.errors import ModelError
from sitkit.plugin_support import folder_digests
from sitkit.types import Json
from sitkit_hf.gguf import gguf_digest
from sitkit_hf.options import Options, cpu_dtype, has_cuda

_SUFFIXES = {".json", ".safetensors", ".model", ".txt", ".jinja", ".py", ".tiktoken", ".spm", ".vocab"}

_IGNORED = {"sitkit.json"}


def fingerprint(options: Options) -> Json:
    """Return the model's identity and the options that change what it answers; independent of where a folder lies.

    "auto" is written as what it comes to on this machine. The version is here too, because other plugins give their
    models a name on top of this one, and keys then hold their version alone.
    """
    if options.folder is None:
        model: Json = {"hub": options.model, "revision": options.revision or "main"}
    elif options.gguf is not None:
        model = {"gguf": gguf_digest(options.gguf)}
    else:
        model = {"files": folder_fingerprint(options.folder)}
    looked_for = options.device in ("auto", "cuda") and "auto" in (options.quantize, options.dtype)
    cuda = looked_for and has_cuda()
    quantize = ("nf4" if cuda else "none") if options.quantize == "auto" else options.quantize
    dtype = ("bfloat16" if cuda else cpu_dtype(options)) if options.dtype == "auto" else options.dtype
    # Only said where they are given, so that what was made before there were these options is found again.
    asked = {
        "thinking": options.thinking or None,
        "thinking_tokens": options.thinking_tokens or None,
        "temperature": options.temperature,
        "top_p": options.top_p,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    return {
        "implementation": f"sitkit_hf {sitkit.__version__}",
        "model": model,
        "quantize": quantize,
        "dtype": dtype,
        "chat_template": options.chat_template,
        "system": options.system,
        **given,
    }


def folder_fingerprint(folder: Path) -> dict[str, str]:
    """Return relative path -> digest of every config, tokenizer and weight file. Raises `ModelError` if unreadable."""
    try:
        return folder_digests(folder, lambda path: path.suffix in _SUFFIXES and path.name not in _IGNORED)
    except OSError as error:
        raise ModelError(f"cannot read the model in {folder}: {error}") from error


def recommended(options: Options) -> Mapping[str, Mapping[str, Json]]:
    """Return the settings that the folder's ``sitkit.json`` recommends, by stage, or the file given in its place.

    Without either there are none. Raises `ModelError` if the file is not ``{"recommended": {stage: {key: value}}}``.
    """
    path = options.recommended
    if path is None:
        if options.folder is None or not (options.folder / "sitkit.json").is_file():
            return {}
        path = options.folder / "sitkit.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    stages = content.get("recommended", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(keys, dict) for keys in stages.values()):
        raise ModelError(f'{path}: expected {{"recommended": {{stage: {{key: value}}}}}}')
    return stages
