"""Which vLLM is installed, found without importing it, and what the user is told where there is none."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from sitkit.plugin_support import NOTICES

_LOG = logging.getLogger(NOTICES)


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


class MissingVllmNotice:
    """The notice, given once, that vLLM is not there, and what happens instead."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._given = False

    def give(self) -> None:
        """Give it, if it was not given yet."""
        if not self._given:
            self._given = True
            _LOG.warning(
                "vLLM is not installed here (pip install 'sitkit[vllm]'): %s answers through transformers, as hf: does",
                self._name,
            )
