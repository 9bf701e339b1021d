"""A complete sitkit plugin: every kind of part, for a small world of words and their letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sitkit import hookimpl
from sitkit.hookspecs import Register
from sitkit.spec import Spec, boolean
from sitkit.types import (
    Benchmark,
    BenchmarkFactory,
    Context,
    Strategy,
    StrategyFactory,
    Student,
    StudentFactory,
    Teacher,
    TeacherFactory,
)


@hookimpl
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register the teacher."""
    register("speller", speller)


@hookimpl
def sitkit_students(register: Register[StudentFactory]) -> None:
    """Register the student."""
    register("counter", counter)


@hookimpl
def sitkit_strategies(register: Register[StrategyFactory]) -> None:
    """Register the strategies."""
    register("spelled-first", spelled_first)
    register("spelled-samples", spelled_samples)


@hookimpl
def sitkit_benchmarks(register: Register[BenchmarkFactory]) -> None:
    """Register the benchmark."""
    register("letters", letters)


@hookimpl
def sitkit_task_folders() -> Sequence[Path]:
    """Return the folder of the benchmark's lm-eval tasks."""
    return [Path(__file__).parent / "tasks"]


def speller(spec: Spec, context: Context) -> Teacher:
    """Spells each word out; slips=N makes about one answer in N wrong."""
    from sitkit_example.teacher import Speller

    spec.refuse_argument()
    options = spec.parse_options({"slips": int})
    return Speller(slips=int(str(options.get("slips", 0))))


def counter(spec: Spec, context: Context) -> Student:
    """A rule-based student that learns to count letters; no model, no torch."""
    from sitkit_example.student import Counter

    spec.refuse_argument()
    spec.parse_options({})
    return Counter()


def spelled_first(spec: Spec, context: Context) -> Strategy:
    """Prefers answers that spell the word out over those that do not."""
    from sitkit_example.strategy import SpelledFirst

    spec.refuse_argument()
    spec.parse_options({})
    return SpelledFirst()


def spelled_samples(spec: Spec, context: Context) -> Strategy:
    """Prefers each right sample to each wrong one; alone=yes learns the right ones without the others."""
    from sitkit_example.strategy import SpelledSamples

    spec.refuse_argument()
    return SpelledSamples(alone=bool(spec.parse_options({"alone": boolean}).get("alone", False)))


def letters(spec: Spec, context: Context) -> Benchmark:
    """How many letters a word has."""
    from sitkit_example.benchmark import Letters

    spec.refuse_argument()
    return Letters()
