"""A teacher behind any OpenAI-compatible endpoint: OpenAI's own, vLLM, ``transformers serve``, Ollama and others.

Making one reads the SPEC; the client is imported, and the endpoint asked, when there is something to answer.
"""

from __future__ import annotations

from sitkit import hookimpl
from sitkit.hookspecs import Register
from sitkit.spec import Spec
from sitkit.types import Context, Teacher, TeacherFactory


def openai_teacher(spec: Spec, context: Context) -> Teacher:
    """A model behind an OpenAI-compatible endpoint: openai:gpt-4o-mini or openai:MODEL,base_url=http://localhost:8000/v1."""
    from sitkit_openai.options import parse_options
    from sitkit_openai.teacher import BatchTeacher, OpenAITeacher

    options = parse_options(spec)
    return BatchTeacher(options) if options.batch else OpenAITeacher(options)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teacher ``openai``."""
    register("openai", openai_teacher)
