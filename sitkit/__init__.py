"""sitkit: Self-refine Instruction-Tuning, from a teacher's demonstrations to a student's scores.

This package is the core. Its public names are those of `sitkit.types`, `sitkit.errors`, `sitkit.hookspecs`,
`sitkit.settings`, `sitkit.spec` and `sitkit.answers`; plugins import these and nothing else.
"""

from sitkit.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = ["__version__", "hookimpl"]
