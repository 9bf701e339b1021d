"""Teachers on any model backend of lm-eval: ``lm-eval:hf,pretrained=./model,dtype=float32,batch_size=8``.

Making a teacher reads the SPEC and looks the backend's name up; the backend is imported when it is first asked.
"""

from __future__ import annotations

from sitkit import hookimpl
from sitkit.hookspecs import Register
from sitkit.spec import Spec
from sitkit.types import Context, Teacher, TeacherFactory


def lm_eval_teacher(spec: Spec, context: Context) -> Teacher:
    """Any model backend of lm-eval, with its own model arguments: lm-eval:hf,pretrained=org/name,batch_size=8."""
    from sitkit_lmeval.options import parse_options
    from sitkit_lmeval.teacher import LmEvalTeacher

    return LmEvalTeacher(parse_options(spec))


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teacher ``lm-eval``."""
    register("lm-eval", lm_eval_teacher)
