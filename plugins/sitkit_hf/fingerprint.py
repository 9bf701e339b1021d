"""What determines a model's behaviour, as plain data: part of the store's keys. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import sitkit
from sitkit.errors import ModelError
from sitkit.types import Json
from sitkit_hf.options import Options

WHOLE = 64 * 2**20
"""Files up to this size, in bytes, are hashed whole."""

EDGE = 2**20
"""Of larger files the first and the last so many bytes are hashed, beside size and time of change."""

_SUFFIXES = {".json", ".safetensors", ".model", ".txt", ".jinja", ".py", ".tiktoken", ".spm", ".vocab"}
_IGNORED = {"sitkit.json"}


def fingerprint(options: Options) -> Json:
    """Return the model's identity and the options that change what it answers; independent of where a folder lies.

    "auto" is written as what it comes to on this machine. The version is here too, because other plugins give their
    models a name on top of this one, and keys then hold their version alone.
    """
    if options.folder is None:
        model: Json = {"hub": options.model, "revision": options.revision or "main"}
    else:
        model = {"files": folder_fingerprint(options.folder)}
    cuda = options.device != "cpu" and (options.quantize == "auto" or options.dtype == "auto") and has_cuda()
    quantize = ("nf4" if cuda else "none") if options.quantize == "auto" else options.quantize
    dtype = ("bfloat16" if cuda else "float32") if options.dtype == "auto" else options.dtype
    # Only said where it is on, so that what was made before there was the option is found again.
    thinks = {"thinking": True} if options.thinking else {}
    return {
        "implementation": f"sitkit_hf {sitkit.__version__}",
        "model": model,
        "quantize": quantize,
        "dtype": dtype,
        "chat_template": options.chat_template,
        "system": options.system,
        **thinks,
    }


def has_cuda() -> bool:
    """Tell whether a CUDA device can be used, as torch would, by asking the driver: importing torch takes seconds."""
    try:
        driver = ctypes.CDLL("libcuda.so.1" if sys.platform != "win32" else "nvcuda.dll")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def folder_fingerprint(folder: Path) -> dict[str, str]:
    """Return relative path -> digest of every config, tokenizer and weight file. Raises `ModelError` if unreadable."""
    try:
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path.suffix in _SUFFIXES and path.name not in _IGNORED and not _hidden(path, folder)
        )
        return {path.relative_to(folder).as_posix(): _digest(path) for path in files}
    except OSError as error:
        raise ModelError(f"cannot read the model in {folder}: {error}") from error


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _digest(path: Path) -> str:
    status = path.stat()
    with path.open("rb") as file:
        if status.st_size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(-EDGE, 2)
        digest.update(file.read())
    return f"{status.st_size}-{status.st_mtime_ns}-{digest.hexdigest()}"


def recommended(options: Options) -> Mapping[str, Mapping[str, Json]]:
    """Return the settings that the folder's ``sitkit.json`` recommends, by stage; none for a hub id.

    Raises `ModelError` if the file is not ``{"recommended": {stage: {key: value}}}``.
    """
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
