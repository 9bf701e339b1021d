"""sitkit: Self-refine Instruction-Tuning, from a teacher's demonstrations to a student's scores.

This package is the core. Its public names are those of `sitkit.types`, `sitkit.capabilities`, `sitkit.errors`,
`sitkit.hookspecs`, `sitkit.settings`, `sitkit.spec`, `sitkit.answers` and `sitkit.harness`; plugins import these and
nothing else.
"""

from sitkit.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = ["__version__", "hookimpl"]
