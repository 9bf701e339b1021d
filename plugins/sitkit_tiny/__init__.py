"""The embedded world: four benchmarks, a scripted teacher and a small pretrained student; no download, CPU, seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import hookimpl

if TYPE_CHECKING:
    from sitkit.hookspecs import Register
    from sitkit.spec import Spec
    from sitkit.types import Benchmark, BenchmarkFactory, Context, Student, StudentFactory, Teacher, TeacherFactory

STUDENT = Path(__file__).parent / "student"
"""The shipped student's folder, in the form that transformers loads."""


@hookimpl
def sitkit_benchmarks(register: Register[BenchmarkFactory]) -> None:
    """Register the four benchmarks."""
    register("tiny_chain", tiny_chain)
    register("tiny_shop", tiny_shop)
    register("tiny_cups", tiny_cups)
    register("tiny_gifts", tiny_gifts)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the scripted teacher."""
    register("tiny", tiny_teacher)


@hookimpl
def sitkit_students(register: Register[StudentFactory]) -> None:
    """Register the shipped student."""
    register("tiny", tiny_student)


@hookimpl
def sitkit_defaults() -> Mapping[str, object]:
    """Teach the shipped student one task of each domain."""
    return {"student": "tiny", "train_on": ["tiny_chain", "tiny_cups"]}


@hookimpl
def sitkit_task_folders() -> Sequence[Path]:
    """Return the folder of the lm-eval tasks that come with sitkit, which holds those of the four benchmarks too."""
    from sitkit.harness.folders import tasks_dir

    return (tasks_dir(),)


def tiny_chain(spec: Spec, context: Context) -> Benchmark:
    """A number game of 4-6 operations (math, 300 to train on, 200 to test on)."""
    return _benchmark("tiny_chain", spec)


def tiny_shop(spec: Spec, context: Context) -> Benchmark:
    """The same arithmetic as a small word problem (math, 300 / 200)."""
    return _benchmark("tiny_shop", spec)


def tiny_cups(spec: Spec, context: Context) -> Benchmark:
    """A coin under one of five cups that change places, options A-E (qa, 300 / 200)."""
    return _benchmark("tiny_cups", spec)


def tiny_gifts(spec: Spec, context: Context) -> Benchmark:
    """Five friends who trade gifts, options A-E (qa, 300 / 200)."""
    return _benchmark("tiny_gifts", spec)


def tiny_teacher(spec: Spec, context: Context) -> Teacher:
    """A script that solves tiny_* questions step by step, with a slip in some (option slip_rate, 0 to 1)."""
    from sitkit.spec import number
    from sitkit_tiny.teacher import SLIP_RATE, ScriptedTeacher

    spec.refuse_argument()
    options = spec.parse_options({"slip_rate": number(low=0, high=1)})
    return ScriptedTeacher(float(str(options.get("slip_rate", SLIP_RATE))))


def tiny_student(spec: Spec, context: Context) -> Student:
    """A Llama of 0.4M parameters that knows the tiny_* world and reads any text through bytes."""
    from sitkit.spec import Spec

    spec.refuse_argument()
    return context.student(Spec("hf", str(STUDENT), spec.options))


def _benchmark(name: str, spec: Spec) -> Benchmark:
    from sitkit_tiny.benchmarks import TinyBenchmark

    spec.refuse_argument()
    spec.parse_options({})
    return TinyBenchmark(name)
