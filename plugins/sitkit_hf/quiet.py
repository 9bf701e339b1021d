"""Keep the libraries' own bars, prints and warnings off the terminal while they work for us."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

_LOGGERS = ("trl", "peft", "accelerate", "datasets", "bitsandbytes", "torch", "huggingface_hub")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, datasets, TRL, PEFT and accelerate inside the block; what was set before is set back."""
    import datasets
    from transformers.utils import logging as transformers_logging

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    dataset_bars = datasets.are_progress_bars_disabled()
    tqdm = os.environ.get("TQDM_DISABLE")
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
        # accelerate's bar, which TRL uses for the reference's log-probabilities, listens to this alone.
        os.environ["TQDM_DISABLE"] = "1"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if not dataset_bars:
            datasets.enable_progress_bars()
        if tqdm is None:
            os.environ.pop("TQDM_DISABLE", None)
        else:
            os.environ["TQDM_DISABLE"] = tqdm
