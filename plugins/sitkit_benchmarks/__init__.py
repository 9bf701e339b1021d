"""The paper's public benchmarks, and two teachers that need no model: `gold` and `file`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import hookimpl

if TYPE_CHECKING:
    from sitkit.hookspecs import Register
    from sitkit.spec import Spec
    from sitkit.types import Benchmark, BenchmarkFactory, Context, Teacher, TeacherFactory


@hookimpl
def sitkit_benchmarks(register: Register[BenchmarkFactory]) -> None:
    """Register the benchmarks."""
    register("gsm8k", gsm8k)
    register("multiarith", multiarith)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teachers."""
    register("gold", gold)
    register("file", file)


@hookimpl
def sitkit_task_folders() -> Sequence[Path]:
    """Return the folder of the lm-eval tasks that come with sitkit."""
    from sitkit.harness.folders import tasks_dir

    return (tasks_dir(),)


def gsm8k(spec: Spec, context: Context) -> Benchmark:
    """GSM8K: grade-school word problems with worked solutions (math, 7473 to train on, 1319 to test on)."""
    from sitkit_benchmarks.sets.gsm8k import GSM8K
    from sitkit_benchmarks.table import TableBenchmark

    _plain(spec)
    return TableBenchmark(GSM8K, context.data_dir)


def multiarith(spec: Spec, context: Context) -> Benchmark:
    """MultiArith: arithmetic word problems of a few steps (math, 420 / 180)."""
    from sitkit_benchmarks.sets.multiarith import MULTIARITH
    from sitkit_benchmarks.table import TableBenchmark

    _plain(spec)
    return TableBenchmark(MULTIARITH, context.data_dir)


def gold(spec: Spec, context: Context) -> Teacher:
    """The benchmark's own worked solutions, where it has them (GSM8K does)."""
    from sitkit_benchmarks.solutions import GoldTeacher

    _plain(spec)
    return GoldTeacher()


def file(spec: Spec, context: Context) -> Teacher:
    """Demonstrations made elsewhere: file:PATH, JSON lines with question_id, question or prompt, and completion."""
    from sitkit_benchmarks.demonstrations import FileTeacher

    spec.parse_options({})
    return FileTeacher(Path(spec.require_argument("the path of a JSONL file")).expanduser())


def _plain(spec: Spec) -> None:
    spec.refuse_argument()
    spec.parse_options({})
