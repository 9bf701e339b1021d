"""sitkit: Self-refine Instruction-Tuning, from a teacher's demonstrations to a student's scores.

The names below are the public API. Plugins import `hookimpl`, and the modules that CONTRIBUTING.md lists as public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from sitkit.api import RunResults, dry_run, load_run, run

__version__ = "0.1.0"

__all__ = ["RunResults", "__version__", "dry_run", "hookimpl", "load_run", "run"]


def __getattr__(name: str) -> object:
    # A plugin that only wants the marker need not wait for the rest.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sitkit import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
