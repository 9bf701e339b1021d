"""What to tell the user where vLLM is not installed."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("sitkit.notices")


class Fallback:
    """Tells once that vLLM is not there, and what happens instead."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told = False

    def tell(self) -> None:
        """Tell it, if it was not told yet."""
        if not self._told:
            self._told = True
            _LOG.warning(
                "vLLM is not installed here (pip install 'sitkit[vllm]'): %s answers through transformers, as hf: does",
                self._name,
            )
