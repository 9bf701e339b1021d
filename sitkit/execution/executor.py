"""An executor has every stage of a plan made: what is stored is reused, the rest runs, and what happens is told.

Finding, running, recording and telling are written once, in `Executor`; a subclass says where stages run.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sitkit.capabilities import BatchSubmitter, PaidEndpoint
from sitkit.conformance import repeated_options
from sitkit.errors import SitkitError, TeacherError, reason
from sitkit.execution.events import (
    Listener,
    Notice,
    StageFinished,
    StageProgress,
    StageStarted,
    StageWaiting,
    StatusMessage,
    receive_notices,
)
from sitkit.execution.freshness import Freshness, freshness
from sitkit.execution.gpus import here_misfits
from sitkit.execution.interrupts import interruptible
from sitkit.execution.task_checks import check_plan_tasks
from sitkit.execution.time_left import TimeLeft
from sitkit.own_questions import left_out, understood
from sitkit.plan import Plan
from sitkit.registry import Registry
from sitkit.stages import Annotate, Budget, Node, Work
from sitkit.store import SCRATCH, Artifact, Journal, Store, disk_errors
from sitkit.types import Json, StageInfo

_SECONDS = "seconds"


@dataclass(frozen=True)
class StageRecord:
    """What became of one stage in one run."""

    stage: str
    label: str
    key: str
    seconds: float
    reused: bool
    info: Json


@dataclass
class Outcome:
    """What a run has: every artifact by key, what became of each stage in plan order, and what the user was told."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    stages: list[StageRecord] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class Executor(ABC):
    """Has the stages of one plan made, once. A subclass has `execute` alone to write.

    ``outcome`` holds what there is so far; ``budget`` is what teachers may spend in this run.
    """

    def __init__(self, plan: Plan, store: Store, registry: Registry, listener: Listener) -> None:
        self.plan = plan
        self.store = store
        self.registry = registry
        self.listener = listener
        self.outcome = Outcome()
        self.budget = Budget(plan.recipe.max_cost)
        self._places = {node.key: place for place, node in enumerate(plan.nodes, 1)}
        self._questions_checked = False
        self._submitted = False

    def run(self) -> Outcome:
        """Run every stage that is not stored yet.

        Raises `DiskFullError` when space runs out and `StoreError` when the workspace cannot be written. Whatever stops
        it, Ctrl-C or an exception of the listener included, stages that were finished stay, and the one under way goes
        on from where it was when the plan is run again.
        """
        self.store.prepare()
        for text in (*self.registry.dropped(), *self._unversioned(), *left_out(self.plan.question_sets)):
            self.tell(text)
        for text in understood(self.plan.question_sets):
            # What is no reason to doubt the results is said here alone, and not in every report.
            self.listener(Notice(text))
        with disk_errors(self.store.workspace), interruptible(self.listener) as self.listener:
            self.execute()
        self.outcome.stages.sort(key=lambda record: self._places[record.key])
        return self.outcome

    @abstractmethod
    def execute(self) -> None:
        """Have every stage of the plan in the outcome, each after its inputs.

        `visit` does it in this process. What was run elsewhere, in a store that this process sees, is found by
        `freshness` and noted by `record`; `started`, `progressed` and `tell` say what happens meanwhile.
        """

    @cached_property
    def _time_left(self) -> TimeLeft:
        # It counts prompts, for which questions are read: a run that finds everything stored need not.
        return TimeLeft(self.plan)

    def visit(self, node: Node) -> None:
        """Have the artifacts of a stage in the outcome: reused, or made in this process. Its inputs must be there."""
        found = self.freshness(node)
        if not found.holds:
            self._check_questions()
            with self.store.stage_lock(node.key, waiting=lambda: self.listener(StageWaiting(self.info(node)))):
                found = self._discard_unless_usable(node)
                if not found.holds:
                    self.started(node)
                    if isinstance(node.stage, Annotate):
                        self._submit(self.info(node))
                    made = self._run(node) if found.artifact is None else self._run_again(node, found.artifact)
                    self.record(node, made, reused=made is found.artifact)
                    return
        if found.artifact is not None:
            self.record(node, found.artifact, reused=True)

    def freshness(self, node: Node) -> Freshness:
        """Return whether what is stored of a stage still holds, by its inputs in the outcome."""
        return freshness(node, self.store, self.outcome.artifacts)

    def info(self, node: Node) -> StageInfo:
        """Return the stage as events and hooks show it."""
        return StageInfo(node.stage.name, node.stage.label(), node.key, self.store.folder(node.stage.name, node.key))

    def record(self, node: Node, artifact: Artifact, *, reused: bool) -> None:
        """Note in the outcome that a stage's artifacts are there, and tell so."""
        info = self.info(node)
        self.outcome.artifacts[node.key] = artifact
        self.outcome.stages.append(
            StageRecord(info.stage, info.label, info.key, artifact.seconds, reused, artifact.info)
        )
        self.listener(StageFinished(info, artifact.seconds, reused, artifact.info))

    def started(self, node: Node) -> None:
        """Tell that a stage starts."""
        after, unknown = self._time_left.after(node.key, {stage.key: stage.seconds for stage in self.outcome.stages})
        self.listener(StageStarted(self.info(node), self._places[node.key], len(self.plan.nodes), after, unknown))

    def progressed(self, node: Node, done: int, total: int, loss: float | None = None, part: float = 0.0) -> None:
        """Tell how much of a stage's work is done."""
        self.listener(StageProgress(self.info(node), done, total, loss, part))

    def tell(self, text: str) -> None:
        """Give the user a notice, now and in the report."""
        self.outcome.notices.append(text)
        self.listener(Notice(text))

    def _discard_unless_usable(self, node: Node) -> Freshness:
        # Only under the lock: another run may be making this very artifact anew.
        found = self.freshness(node)
        if found.discarded:
            self.tell(f"{found.reason}; the stage {node.title} is run again")
            self.store.discard(node.stage.name, node.key)
        return found

    def _run_again(self, node: Node, artifact: Artifact) -> Artifact:
        """Run a stage in which replies had failed; what it was before stands if they cannot be asked for now."""
        try:
            return self._run(node)
        except TeacherError as error:
            self.tell(f"{error}; {node.title} stays as it was")
            return artifact

    def _check_questions(self) -> None:
        # Every question is read before the first stage that runs, so that wrong data stops a run in its first second.
        if not self._questions_checked:
            for questions in self.plan.question_sets:
                repeated, total = repeated_options(questions.questions), len(questions.questions)
                if repeated:
                    self.tell(
                        f"{questions.benchmark.spec}: {repeated} of {total} {questions.split} questions have two"
                        " options of the same text, of which only one counts as right"
                    )
            self._check_teachers()
            for text in here_misfits(self.plan, lambda node: self.freshness(node).holds):
                # Said here alone, and not in every report: it may have fitted after all.
                self.listener(Notice(f"{text}; the run goes on"))
            for key in check_plan_tasks(self.plan, self.store, self.registry):
                self.store.note_checked(key)
            self._questions_checked = True

    def _check_teachers(self) -> None:
        # A key or a price that is missing shows before another teacher has been paid.
        for teacher in self.plan.teachers:
            asked = [node for node in self.plan.annotated if teacher in node.stage.components]
            if isinstance(teacher.made, PaidEndpoint) and not all(self.freshness(node).holds for node in asked):
                with teacher.calling("begin"):
                    teacher.made.begin(self.store.journals, budget=self.budget.left())

    def _submit(self, info: StageInfo) -> None:
        """Hand in the work of all teachers whose replies take hours, so that a run waits for them but once."""
        if self._submitted:
            return
        self._submitted = True
        with receive_notices(self.tell, lambda text: self.listener(StatusMessage(info, text))):
            for node in self.plan.annotated:
                stage, found = node.stage, self.freshness(node)
                if not isinstance(stage, Annotate) or not isinstance(stage.teacher.made, BatchSubmitter):
                    continue
                if not found.holds:
                    try:
                        self._submit_one(stage)
                    except TeacherError:
                        # What is whole but for failed replies may stay as it is; visiting it says why.
                        if found.artifact is None:
                            raise

    def _submit_one(self, stage: Annotate) -> None:
        name = stage.journal_name()
        # Where another run is asking already, it is not waited for before its turn.
        with self.store.lock_if_free(name) as free:
            if free:
                with Journal(self.store.journal(name)) as journal:
                    stage.submit(journal, self.budget)

    def _run(self, node: Node) -> Artifact:
        info = self.info(node)
        self._around("sitkit_before_stage", stage=info)
        scratch = info.folder / SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        self.store.clear_unfinished(info.stage, info.key)
        clock = _Clock(scratch / _SECONDS)
        notices, losses = list[str](), list[float]()
        reached = _Reached()

        def notice(text: str) -> None:
            if text not in notices:
                notices.append(text)
                self.tell(text)

        def progress(done: int, total: int) -> None:
            clock.keep()
            self.progressed(node, done, total, losses[-1] if losses else None, reached.part(done, total))

        def under_way(answers: float) -> None:
            reached.under_way = answers
            progress(reached.done, reached.total)

        def status(text: str) -> None:
            self.listener(StatusMessage(info, text))

        recipe = self.plan.recipe
        work = Work(
            folder=info.folder,
            scratch=scratch,
            artifacts=self.outcome.artifacts,
            journal=lambda name: self._journal(name, info),
            progress=progress,
            notice=notice,
            budget=self.budget,
            data_dir=None if recipe.data_dir is None else Path(recipe.data_dir),
            task_folders=self.registry.folders_of_tasks(),
        )
        with receive_notices(notice, status, loss=losses.append, under_way=under_way):
            told = node.stage.run(work)
        seconds = round(clock.seconds(), 3)
        told = {**told, "warnings": notices}
        made_from = {source.key: self.outcome.artifacts[source.key].content for source in node.stage.inputs}
        artifact = self.store.finish(info.stage, info.key, node.material, told, seconds, made_from)
        self._around("sitkit_after_stage", stage=info, seconds=seconds)
        return artifact

    def _unversioned(self) -> Iterator[str]:
        """Yield a sentence for each plugin whose source stands in the keys, because its version does not name it."""
        taking_part = {part.provider["distribution"] for part in self.plan.components}
        for provider in self.registry.hooks():
            if provider.distribution in taking_part and provider.source is not None:
                version = "" if provider.content else f" {provider.version}"
                yield (
                    f"{provider.distribution}{version} {provider.source.why}: the digest of its source"
                    f" ({provider.source.digest[:12]}) stands beside its {'name' if provider.content else 'version'} in"
                    " what it makes"
                )

    @contextmanager
    def _journal(self, name: str, info: StageInfo) -> Iterator[Journal]:
        path = self.store.journal(name)
        with self.store.lock(name, waiting=lambda: self.listener(StageWaiting(info))), Journal(path) as journal:
            yield journal

    def _around(self, hook: str, **arguments: object) -> None:
        for distribution, call in self.registry.hook_calls(hook):
            try:
                call(**arguments)
            except (SitkitError, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.tell(f"plugin {distribution}: {hook} failed with {reason(error)}")


@dataclass
class _Reached:
    """How far a stage is, answers under way counted by their share. In one part of a stage that never goes back."""

    done: int = 0
    total: int = 0
    under_way: float = 0.0
    most: float = 0.0

    def part(self, done: int, total: int) -> float:
        """Return what is under way beyond ``done``."""
        if done < self.done or total != self.total:
            self.under_way = self.most = 0.0
        self.done, self.total = done, total
        self.most = max(self.most, min(float(total), done + self.under_way))
        return self.most - done


class _Clock:
    """Seconds a stage has worked, those before a kill included: kept in its scratch folder, once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._kept = time.monotonic()
        self._before = 0.0
        with contextlib.suppress(OSError, ValueError):
            self._before = float(path.read_text(encoding="ascii"))

    def seconds(self) -> float:
        """Return the seconds so far."""
        return self._before + time.monotonic() - self._start

    def keep(self) -> None:
        """Write them down, at most once a second."""
        if time.monotonic() - self._kept > 1:
            self._path.write_text(f"{self.seconds():.3f}", encoding="ascii")
            self._kept = time.monotonic()
