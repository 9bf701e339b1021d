"""Students and local teachers on transformers, PEFT and TRL: any causal language model, from a folder or the hub.

Making a student or a teacher reads the SPEC and looks at the folder; torch is imported when it is first used.
"""

from __future__ import annotations

from sitkit import hookimpl
from sitkit.errors import SpecError
from sitkit.hookspecs import Register
from sitkit.spec import Spec
from sitkit.types import Context, Student, StudentFactory, Teacher, TeacherFactory


def hf_student(spec: Spec, context: Context) -> Student:
    """A causal language model, from a folder or the hub, trained with LoRA: hf:org/name or hf:./folder."""
    from sitkit_hf.options import parse_options
    from sitkit_hf.student import HfStudent

    options = parse_options(spec)
    for name in ("temperature", "top_p"):
        if name in spec.options:
            raise SpecError(f"{name}= is for teachers: a student's is a setting, --set sample.{name}=…")
    return HfStudent(options)


def hf_teacher(spec: Spec, context: Context) -> Teacher:
    """A causal language model run here as the teacher: hf:org/name or hf:./folder."""
    from sitkit_hf.options import parse_options
    from sitkit_hf.teacher import HfTeacher

    options = parse_options(spec)
    if options.thinking_tokens:
        raise SpecError("thinking_tokens= is for students: a teacher's answers end at annotate.max_new_tokens")
    if options.recommended is not None:
        raise SpecError("recommended= is for students: a teacher is not trained")
    return HfTeacher(options)


@hookimpl
def sitkit_students(register: Register[StudentFactory]) -> None:
    """Register the student ``hf``."""
    register("hf", hf_student)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teacher ``hf``."""
    register("hf", hf_teacher)
