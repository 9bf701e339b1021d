"""The command line. `main` is the ``sitkit`` program."""

from sitkit.cli.main import main

__all__ = ["main"]
