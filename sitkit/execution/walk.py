"""Walk a plan: reuse what is stored, run what is not, tell what happens."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sitkit.capabilities import BatchSubmitter, PaidEndpoint
from sitkit.errors import ArtifactError, SitkitError, TeacherError
from sitkit.execution.dry_run import outdated
from sitkit.execution.events import (
    NOTICES,
    Listener,
    Notice,
    StageFinished,
    StageProgress,
    StageStarted,
    StageWaiting,
    StatusMessage,
)
from sitkit.plan import Plan
from sitkit.registry import Registry
from sitkit.stages import Annotate, Budget, Node, Work, journal_path
from sitkit.store import SCRATCH, Artifact, Journal, Store, disk_errors
from sitkit.types import Json, StageInfo

RETRY = "retry"
"""In a stage's info: it is whole, but a next run of the same command tries parts of it again."""

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
    """What a walk has: every artifact by key, what became of each stage in order, and what the user was told."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    stages: list[StageRecord] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def run_plan(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Outcome:
    """Run every stage that is not stored yet.

    Raises `DiskFullError` when space runs out and `StoreError` when the workspace cannot be written; whatever stops
    it, stages that were finished stay, and an interrupted one goes on from where it was.
    """
    outcome = Outcome()
    walk = Walk(plan, store, registry, listener, outcome, Budget(plan.recipe.max_cost))
    last_use = {id(part.made): index for index, one in enumerate(plan.nodes) for part in one.stage.components}
    store.prepare()
    with disk_errors(store.workspace):
        for index, one in enumerate(plan.nodes):
            walk.visit(one, index + 1)
            for part in one.stage.components:
                if last_use[id(part.made)] == index:
                    # Teachers and students of one run need not fit into memory together.
                    part.made.close()
    return outcome


@dataclass
class Walk:
    """Visits stages one by one: finds what is stored, runs what is not, records what became of it."""

    plan: Plan
    store: Store
    registry: Registry
    listener: Listener
    outcome: Outcome
    budget: Budget
    questions_checked: bool = False
    submitted: bool = False

    def visit(self, one: Node, index: int) -> None:
        """Have the artifacts of a stage in the outcome; those of its inputs must be there.

        ``index`` is its place in the plan, from 1.
        """
        info = StageInfo(one.stage.name, one.stage.label(), one.key, self.store.folder(one.stage.name, one.key))
        artifact = self._find(one, info)
        if artifact is None or artifact.info.get(RETRY):
            self._check_questions()
            with self.store.lock(one.key[:32], waiting=lambda: self.listener(StageWaiting(info))):
                artifact = self._find_or_discard(one, info)
                if artifact is None or artifact.info.get(RETRY):
                    self.listener(StageStarted(info, index, len(self.plan.nodes)))
                    if isinstance(one.stage, Annotate):
                        self._submit(info)
                    made = self._run(one, info) if artifact is None else self._run_again(one, info, artifact)
                    self._record(info, made, reused=made is artifact)
                    return
        self._record(info, artifact, reused=True)

    def _find(self, one: Node, info: StageInfo) -> Artifact | None:
        with contextlib.suppress(ArtifactError):
            artifact = self.store.find(info.stage, info.key)
            if artifact is not None and outdated(artifact, one, self.outcome.artifacts) is None:
                return artifact
        return None

    def _find_or_discard(self, one: Node, info: StageInfo) -> Artifact | None:
        # Only under the lock: another run may be making this very artifact anew.
        try:
            artifact = self.store.find(info.stage, info.key)
            changed = None if artifact is None else outdated(artifact, one, self.outcome.artifacts)
            reason = f"{changed} is another than before" if changed else None
        except ArtifactError as error:
            artifact, reason = None, str(error)
        if reason is not None:
            self._tell(f"{reason}; the stage {info.stage} {info.label} is run again")
            self.store.discard(info.stage, info.key)
            return None
        return artifact

    def _run_again(self, one: Node, info: StageInfo, artifact: Artifact) -> Artifact:
        """Run a stage in which replies had failed; what it was before stands if they cannot be asked for now."""
        try:
            return self._run(one, info)
        except TeacherError as error:
            self._tell(f"{error}; {info.stage} {info.label} stays as it was")
            return artifact

    def _check_questions(self) -> None:
        # Every question is read before the first stage that runs, so that wrong data stops a run in its first second.
        if not self.questions_checked:
            for questions in self.plan.question_sets:
                _ = questions.questions
            self._check_teachers()
            self.questions_checked = True

    def _check_teachers(self) -> None:
        # A key or a price that is missing shows before another teacher has been paid.
        for teacher in self.plan.teachers:
            asked = [one for one in self.plan.annotated if teacher in one.stage.components]
            if isinstance(teacher.made, PaidEndpoint) and any(self._stored(one) is None for one in asked):
                with teacher.calling("begin"):
                    teacher.made.begin(self.store.workspace / "journals", budget=self.budget.left())

    def _submit(self, info: StageInfo) -> None:
        """Hand in the work of all teachers whose replies take hours, so that a run waits for them but once."""
        if self.submitted:
            return
        self.submitted = True
        with _logged(self._tell, lambda text: self.listener(StatusMessage(info, text))):
            for one in self.plan.annotated:
                stage, artifact = one.stage, self._stored(one)
                if not isinstance(stage, Annotate) or not isinstance(stage.teacher.made, BatchSubmitter):
                    continue
                if artifact is None or artifact.info.get(RETRY):
                    try:
                        self._submit_one(stage)
                    except TeacherError:
                        # What is whole but for failed replies may stay as it is; visiting it says why.
                        if artifact is None:
                            raise

    def _submit_one(self, stage: Annotate) -> None:
        name = stage.journal_name()
        # Where another run is asking already, it is not waited for before its turn.
        with self.store.lock_if_free(name) as free:
            if free:
                with Journal(journal_path(self.store, name)) as journal:
                    stage.submit(journal, self.budget)

    def _stored(self, one: Node) -> Artifact | None:
        with contextlib.suppress(ArtifactError):
            return self.store.find(one.stage.name, one.key)
        return None

    def _run(self, one: Node, info: StageInfo) -> Artifact:
        self._around("sitkit_before_stage", stage=info)
        scratch = info.folder / SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        clock = _Clock(scratch / _SECONDS)
        notices: list[str] = []

        def notice(text: str) -> None:
            if text not in notices:
                notices.append(text)
                self._tell(text)

        def progress(done: int, total: int) -> None:
            clock.keep()
            self.listener(StageProgress(info, done, total))

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
            task_folders=self._task_folders(),
        )
        with _logged(notice, lambda text: self.listener(StatusMessage(info, text))):
            told = one.stage.run(work)
        seconds = round(clock.seconds(), 3)
        told = {**told, "warnings": notices}
        made_from = {source.key: self.outcome.artifacts[source.key].content for source in one.stage.inputs}
        artifact = self.store.finish(info.stage, info.key, one.material, told, seconds, made_from)
        self._around("sitkit_after_stage", stage=info, seconds=seconds)
        return artifact

    def _task_folders(self) -> dict[str, tuple[Path, ...]]:
        folders: dict[str, tuple[Path, ...]] = {}
        for folder, distribution in self.registry.task_folders.items():
            folders[distribution] = (*folders.get(distribution, ()), folder)
        return folders

    @contextmanager
    def _journal(self, name: str, info: StageInfo) -> Iterator[Journal]:
        path = journal_path(self.store, name)
        with self.store.lock(name, waiting=lambda: self.listener(StageWaiting(info))), Journal(path) as journal:
            yield journal

    def _around(self, hook: str, **arguments: object) -> None:
        for distribution, call in self.registry.hook_calls(hook):
            try:
                call(**arguments)
            except SitkitError:
                raise
            except Exception as error:
                self._tell(f"plugin {distribution}: {hook} failed with {type(error).__name__}: {error}")

    def _record(self, info: StageInfo, artifact: Artifact, *, reused: bool) -> None:
        self.outcome.artifacts[info.key] = artifact
        record = StageRecord(info.stage, info.label, info.key, artifact.seconds, reused, artifact.info)
        self.outcome.stages.append(record)
        self.listener(StageFinished(info, artifact.seconds, reused, artifact.info))

    def _tell(self, text: str) -> None:
        self.outcome.notices.append(text)
        self.listener(Notice(text))


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


@contextmanager
def _logged(notice: Callable[[str], None], passing: Callable[[str], None]) -> Iterator[None]:
    handler = _Handler(notice, passing)
    logger = logging.getLogger(NOTICES)
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        logger.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, notice: Callable[[str], None], passing: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._notice = notice
        self._passing = passing

    def emit(self, record: logging.LogRecord) -> None:
        (self._passing if record.levelno < logging.WARNING else self._notice)(record.getMessage())
