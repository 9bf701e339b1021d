"""Every door of sitkit. A plugin implements the hooks it needs, marked with `hookimpl`, in the module its entry
point (group ``sitkit``) names; docs/plugin-hooks.md has a complete small plugin for each.

A factory's docstring starts with the one line that ``sitkit plugins`` shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pluggy

from sitkit.types import BenchmarkFactory, StageInfo, StrategyFactory, StudentFactory, TeacherFactory

if TYPE_CHECKING:
    from sitkit.execution.events import Listener
    from sitkit.execution.executor import Executor
    from sitkit.plan import Plan
    from sitkit.recipe import Recipe
    from sitkit.registry import Registry
    from sitkit.report.tables import ReportSection
    from sitkit.results.judgements import Judgement
    from sitkit.results.model import Results
    from sitkit.store import Store

PROJECT = "sitkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

FactoryT = TypeVar("FactoryT", contravariant=True)


class Register(Protocol[FactoryT]):
    """The callback a hook gets: gives a factory a name. A name taken already is an error naming both distributions."""

    def __call__(
        self, name: str, factory: FactoryT, *, aliases: Sequence[str] = (), argument: str | None = None
    ) -> None:
        """Register ``factory`` under ``name``; aliases are further names a user may type for the same part.

        A benchmark with an ``argument`` ("PATH") is one only with something after the colon, ``name:PATH``: each such
        SPEC is a benchmark of its own (`sitkit.capabilities.Named`), and "all" leaves it out.
        """


class RegisterCommand(Protocol):
    """The callback of `sitkit_commands`; ``place`` is "MODULE:NAME" of a click command, imported when it is used."""

    def __call__(self, name: str, place: str, summary: str) -> None:
        """Register a subcommand with the one line that ``sitkit --help`` shows."""


class ExecutorFactory(Protocol):
    """Makes an executor for one run of a plan; whatever is heavy is imported here, or later."""

    def __call__(self, plan: Plan, store: Store, registry: Registry, listener: Listener) -> Executor:
        """Return the executor; nothing runs yet."""


@hookspec
def sitkit_teachers(register: Register[TeacherFactory]) -> None:
    """Register teachers: who answers training questions step by step."""


@hookspec
def sitkit_students(register: Register[StudentFactory]) -> None:
    """Register students: models that are instructed, refined and scored."""


@hookspec
def sitkit_strategies(register: Register[StrategyFactory]) -> None:
    """Register strategies: how answers become preference pairs, and with which objective."""


@hookspec
def sitkit_benchmarks(register: Register[BenchmarkFactory]) -> None:
    """Register benchmarks: questions with a train and a test split."""


@hookspec
def sitkit_task_folders() -> Sequence[Path]:
    """Return the folders that hold the lm-eval task YAMLs of this plugin's benchmarks."""
    return ()


@hookspec
def sitkit_presets() -> Sequence[Path]:
    """Return folders of recipes that runs can be based on by name: PAPER/table1.yaml in one of them is PAPER/table1."""
    return ()


@hookspec
def sitkit_commands(register: RegisterCommand) -> None:
    """Register further subcommands of ``sitkit``."""


@hookspec
def sitkit_defaults() -> Mapping[str, object]:
    """Return this plugin's share of the default recipe: any of student, strategy (a SPEC) and train_on (names)."""
    return {}


@hookspec
def sitkit_executors(register: Register[ExecutorFactory]) -> None:
    """Register executors: where the stages of a run are made, chosen with ``--executor``."""


@hookspec
def sitkit_before_run(recipe: Recipe, folder: Path) -> None:
    """Called before the first stage of a run; raise a `SitkitError` to refuse it. ``folder`` will hold the results."""


@hookspec
def sitkit_after_run(results: Results, folder: Path) -> None:
    """Called when the results of a run have been written to ``folder``."""


@hookspec
def sitkit_before_stage(stage: StageInfo) -> None:
    """Called before a stage that is not stored yet runs."""


@hookspec
def sitkit_after_stage(stage: StageInfo, seconds: float) -> None:
    """Called after a stage has run and its artifacts are stored; seconds is the time it took."""


@hookspec
def sitkit_report_sections(results: Results, judgements: Sequence[Judgement]) -> Sequence[ReportSection]:
    """Return what this plugin adds to report.md and report.html, given what a run found and what judges said of it."""
    return ()
