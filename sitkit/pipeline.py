"""Walk a plan: reuse what is stored, run what is not, tell what happens."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sitkit.errors import ArtifactError, DiskFullError, SitkitError, StoreError
from sitkit.events import Listener, Notice, StageFinished, StageProgress, StageStarted, StageWaiting
from sitkit.plan import Plan
from sitkit.registry import Registry
from sitkit.stages import Node, Work
from sitkit.store import Artifact, Journal, Store
from sitkit.store.artifacts import SCRATCH
from sitkit.types import Json, StageInfo

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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


def stored(plan: Plan, store: Store) -> dict[str, Artifact]:
    """Return the artifacts of a plan that are stored whole already; damaged ones do not count."""
    found = {}
    for one in plan.nodes:
        try:
            artifact = store.find(one.stage.name, one.key)
        except ArtifactError:
            continue
        if artifact is not None:
            found[one.key] = artifact
    return found


def run_plan(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Outcome:
    """Run every stage that is not stored yet.

    Raises `DiskFullError` when space runs out and `StoreError` when the workspace cannot be written; whatever stops
    it, stages that were finished stay, and an interrupted one goes on from where it was.
    """
    outcome = Outcome()
    walk = _Walk(plan, store, registry, listener, outcome)
    store.prepare()
    with _disk_errors(store):
        for index, one in enumerate(plan.nodes, 1):
            walk.visit(one, index)
    return outcome


@dataclass
class _Walk:
    plan: Plan
    store: Store
    registry: Registry
    listener: Listener
    outcome: Outcome
    questions_checked: bool = False

    def visit(self, one: Node, index: int) -> None:
        info = StageInfo(one.stage.name, one.stage.label(), one.key, self.store.folder(one.stage.name, one.key))
        artifact = self._find(info)
        if artifact is None:
            self._check_questions()
            with self.store.lock(one.key[:32], waiting=lambda: self.listener(StageWaiting(info))):
                artifact = self._find(info)
                if artifact is None:
                    self.listener(StageStarted(info, index, len(self.plan.nodes)))
                    self._record(info, self._run(one, info), reused=False)
                    return
        self._record(info, artifact, reused=True)

    def _find(self, info: StageInfo) -> Artifact | None:
        try:
            return self.store.find(info.stage, info.key)
        except ArtifactError as error:
            self._notice(f"{error}; the stage {info.stage} {info.label} is run again")
            self.store.discard(info.stage, info.key)
            return None

    def _check_questions(self) -> None:
        # Every question is read before the first stage that runs, so that wrong data stops a run in its first second.
        if not self.questions_checked:
            for questions in self.plan.question_sets:
                _ = questions.questions
            self.questions_checked = True

    def _run(self, one: Node, info: StageInfo) -> Artifact:
        self._around("sitkit_before_stage", stage=info)
        info.folder.mkdir(parents=True, exist_ok=True)
        scratch = info.folder / SCRATCH
        scratch.mkdir(exist_ok=True)
        recipe = self.plan.recipe
        work = Work(
            folder=info.folder,
            scratch=scratch,
            artifacts=self.outcome.artifacts,
            journal=self._journal,
            progress=lambda done, total: self.listener(StageProgress(info, done, total)),
            notice=self._notice,
            data_dir=None if recipe.data_dir is None else Path(recipe.data_dir),
            task_folders=tuple(self.registry.task_folders),
        )
        start = time.monotonic()
        told = one.stage.run(work)
        seconds = round(time.monotonic() - start, 3)
        artifact = self.store.finish(info.stage, info.key, one.material, told, seconds)
        self._around("sitkit_after_stage", stage=info, seconds=seconds)
        return artifact

    @contextmanager
    def _journal(self, name: str) -> Iterator[Journal]:
        with self.store.lock(name), Journal(self.store.workspace / "journals" / f"{name}.jsonl") as journal:
            yield journal

    def _around(self, hook: str, **arguments: object) -> None:
        for distribution, call in self.registry.hook_calls(hook):
            try:
                call(**arguments)
            except SitkitError:
                raise
            except Exception as error:
                self._notice(f"plugin {distribution}: {hook} failed with {type(error).__name__}: {error}")

    def _record(self, info: StageInfo, artifact: Artifact, *, reused: bool) -> None:
        self.outcome.artifacts[info.key] = artifact
        record = StageRecord(info.stage, info.label, info.key, artifact.seconds, reused, artifact.info)
        self.outcome.stages.append(record)
        self.listener(StageFinished(info, artifact.seconds, reused, artifact.info))

    def _notice(self, text: str) -> None:
        self.outcome.notices.append(text)
        self.listener(Notice(text))


@contextmanager
def _disk_errors(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"no space left while writing to {store.workspace} ({error.strerror});"
                " what was finished is kept: free some space and run the same command again"
            ) from error
        if error.filename is not None and str(error.filename).startswith(str(store.workspace)):
            raise StoreError(f"{error.filename}: {error.strerror}; is the workspace writable?") from error
        raise


def prompt_counts(plan: Plan, done: Mapping[str, Artifact]) -> dict[str, int]:
    """Return, by key, how many prompts each stage that is not stored will answer. Loads the questions."""
    return {one.key: one.stage.prompts() for one in plan.nodes if one.key not in done}
