"""Keep the bars, prints and logs of lm-eval's backends off the terminal while they work for us."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

_LOGGERS = ("lm_eval", "transformers", "huggingface_hub", "accelerate", "datasets")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is printed inside the block and what is logged below an error; what was set before is set back.

    Some backends draw their bars whatever they are asked, hence the streams and not only the loggers.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
