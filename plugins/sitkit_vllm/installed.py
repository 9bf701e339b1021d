"""Which vLLM is installed, found without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def vllm_version() -> str | None:
    """Return the version of the vLLM that can be imported here, or None if there is none.

    A folder that happens to be called vllm is none: it belongs to no distribution.
    """
    if find_spec("vllm") is None:
        return None
    try:
        return version("vllm")
    except PackageNotFoundError:
        return None
