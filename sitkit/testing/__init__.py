"""What the tests of a plugin need: sample questions, a grid of candidates, a stub student, and checks of every part.

    from sitkit.testing import check_plugin, check_strategy

    def test_it_is_sound():
        check_plugin("sitkit-mine")

Each ``check_…`` raises AssertionError naming all that is wrong, a line each, with file and line; what
``sitkit check-plugin`` shows. No model is loaded, nothing is downloaded, and whoever costs money is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sitkit.components import Component
from sitkit.testing.parts import Finding, benchmark_findings, strategy_findings, student_findings, teacher_findings
from sitkit.testing.samples import candidates, questions, right_answer, wrong_answer
from sitkit.testing.stubs import StubStudent, context, registry, stub_student
from sitkit.types import Benchmark, Candidate, Question, Strategy, Student, Teacher

__all__ = [
    "StubStudent", "candidates", "check_benchmark", "check_plugin", "check_strategy", "check_student", "check_teacher",
    "context", "questions", "registry", "right_answer", "stub_student", "wrong_answer",
]  # fmt: skip


def check_teacher(teacher: Teacher, asked: Sequence[Question] | None = None) -> None:
    """Check a teacher's answers to these questions (default: `questions`): both promptings, a part of them, in reverse.

    Raises AssertionError naming what is wrong.
    """
    _raise(teacher_findings(_alone("teacher", teacher), questions() if asked is None else asked))


def check_strategy(strategy: Strategy, given: Sequence[Candidate] | None = None) -> None:
    """Check a strategy's objective, and its pairs of these candidates (default: `candidates`) as the pair stage does.

    Raises AssertionError naming what is wrong.
    """
    _raise(strategy_findings(_alone("strategy", strategy), candidates() if given is None else given))


def check_benchmark(benchmark: Benchmark, name: str) -> None:
    """Check a benchmark's questions, both splits, under its registered name; not its lm-eval tasks.

    Raises AssertionError naming what is wrong.
    """
    _raise(benchmark_findings(Component("benchmark", name, benchmark, {"distribution": type(benchmark).__module__})))


def check_student(student: Student, asked: Sequence[Question] | None = None) -> None:
    """Check a student's contract: each prompt answered once, in whatever order and batch; nothing learnt where
    nothing is shown; an adapter left by training, and touched by nothing else.

    It is asked these questions (default: four of `questions`), and trained for one step. Raises AssertionError naming
    what is wrong.
    """
    _raise(student_findings(_alone("student", student), questions(count=4) if asked is None else asked))


def check_plugin(plugin: str | Path, *specs: str) -> None:
    """Check an installed distribution, by its name, or a file, by its path, as ``sitkit check-plugin`` does.

    ``specs`` make parts that need an argument. Raises AssertionError naming what is wrong.
    """
    from sitkit.testing.plugin import plugin_checks

    _raise(finding for check in plugin_checks(plugin, specs) for finding in check.findings)


def _raise(findings: Iterable[Finding]) -> None:
    faults = [str(finding) for finding in findings if finding.fault]
    if faults:
        raise AssertionError("\n".join(faults))


def _alone(kind: str, made: Any) -> Component[Any]:
    return Component(kind, type(made).__name__, made, {"distribution": type(made).__module__})
