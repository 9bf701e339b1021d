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
    from sitkit_benchmarks.benchmark import Table

ALIASES = {
    "openbookqa": ("obqa",),
    "commonsense_qa": ("csqa",),
    "social_i_qa": ("siqa",),
    "math": ("hendrycks_math",),
}
"""The benchmarks' further names."""


@hookimpl
def sitkit_benchmarks(register: Register[BenchmarkFactory]) -> None:
    """Register the benchmarks."""
    factories = (openbookqa, commonsense_qa, piqa, social_i_qa, gsm8k, multiarith, math, mmlu)
    for factory in factories:
        register(factory.__name__, factory, aliases=ALIASES.get(factory.__name__, ()))
    register("file", own_file, argument="PATH")
    register("hub", own_hub, argument="ORG/NAME")


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


def openbookqa(spec: Spec, context: Context) -> Benchmark:
    """OpenBookQA: elementary science, options A-D (qa, 4000 balanced by seed / 500); also obqa."""
    from sitkit_benchmarks.sets.openbookqa import OPENBOOKQA

    return _benchmark(OPENBOOKQA, spec, context)


def commonsense_qa(spec: Spec, context: Context) -> Benchmark:
    """CommonsenseQA: everyday knowledge, options A-E (qa, 4000 balanced by seed / 1221); also csqa."""
    from sitkit_benchmarks.sets.commonsense_qa import COMMONSENSE_QA

    return _benchmark(COMMONSENSE_QA, spec, context)


def piqa(spec: Spec, context: Context) -> Benchmark:
    """PIQA: how to do a thing in the physical world, options A-B (qa, 4000 balanced by seed / 1838)."""
    from sitkit_benchmarks.sets.piqa import PIQA

    return _benchmark(PIQA, spec, context)


def social_i_qa(spec: Spec, context: Context) -> Benchmark:
    """Social IQa: why people act and how they feel, options A-C (qa, 3990 balanced by seed / 1954); also siqa."""
    from sitkit_benchmarks.sets.social_i_qa import SOCIAL_I_QA

    return _benchmark(SOCIAL_I_QA, spec, context)


def gsm8k(spec: Spec, context: Context) -> Benchmark:
    """GSM8K: grade-school word problems with worked solutions (math, 7473 / 1319)."""
    from sitkit_benchmarks.sets.gsm8k import GSM8K

    return _benchmark(GSM8K, spec, context)


def multiarith(spec: Spec, context: Context) -> Benchmark:
    """MultiArith: arithmetic word problems of a few steps (math, 420 / 180)."""
    from sitkit_benchmarks.sets.multiarith import MULTIARITH

    return _benchmark(MULTIARITH, spec, context)


def math(spec: Spec, context: Context) -> Benchmark:
    """MATH: competition problems with worked solutions (math, 1876 by seed and type / 5000); also hendrycks_math."""
    from sitkit_benchmarks.sets.math import MATH

    return _benchmark(MATH, spec, context)


def mmlu(spec: Spec, context: Context) -> Benchmark:
    """MMLU: 57 subjects, options A-D (qa, 25% by seed and subject / the other 75%)."""
    from sitkit_benchmarks.sets.mmlu import MMLU

    return _benchmark(MMLU, spec, context)


def gold(spec: Spec, context: Context) -> Teacher:
    """The benchmark's own worked solutions, where it has them (GSM8K and MATH do)."""
    from sitkit_benchmarks.solutions import GoldTeacher

    _plain(spec)
    return GoldTeacher()


def file(spec: Spec, context: Context) -> Teacher:
    """Demonstrations made elsewhere: file:PATH, JSON lines with question_id, question or prompt, and completion."""
    from sitkit_benchmarks.demonstrations import FileTeacher

    spec.parse_options({})
    return FileTeacher(Path(spec.require_argument("the path of a JSONL file")).expanduser())


def own_file(spec: Spec, context: Context) -> Benchmark:
    """Your own questions: file:PATH, JSON lines, CSV or Parquet; kind and fields are found out, or told."""
    from sitkit_benchmarks.own import file_benchmark

    return file_benchmark(spec)


def own_hub(spec: Spec, context: Context) -> Benchmark:
    """Any data set of the Hugging Face hub: hub:ORG/NAME,split=…, its fields found out, or told."""
    from sitkit_benchmarks.own import hub_benchmark

    return hub_benchmark(spec)


def _benchmark(table: Table, spec: Spec, context: Context) -> Benchmark:
    from sitkit_benchmarks.benchmark import TableBenchmark

    _plain(spec)
    return TableBenchmark(table, context.data_dir, spec.name)


def _plain(spec: Spec) -> None:
    spec.refuse_argument()
    spec.parse_options({})
