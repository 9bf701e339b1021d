"""Backends draw from the process's own generators: seed them for a block, and set them back."""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from collections.abc import Iterator, Sequence


def chunk_seed(seed: int, prompt_ids: Sequence[str]) -> int:
    """Return the seed of a chunk: 63 bits of sha256 over the seed and the ids of the chunk's prompts in order."""
    digest = hashlib.sha256("\0".join([str(seed), *prompt_ids]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's generator, and numpy's and torch's where they are loaded, inside the block."""
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        random.seed(seed)
        if "numpy" in sys.modules:
            import numpy

            stack.callback(numpy.random.set_state, numpy.random.get_state())
            numpy.random.seed(seed % 2**32)
        # A backend that draws with torch has loaded it; the others need not wait for it.
        if "torch" in sys.modules:
            import torch

            devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
            stack.enter_context(torch.random.fork_rng(devices=devices))
            torch.manual_seed(seed)
        yield
