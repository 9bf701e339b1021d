"""Walk a plan on a Ray cluster: independent stages at once, the same artifacts in the same store.

Lanes are Ray actors, each with a plan and a loaded student of its own, and each with the GPUs a stage needs. The driver
hands a lane one stage at a time; what a stage has made lies in the store, which every machine of the cluster must see
(a shared file system). A lane that dies is replaced, and its stage goes on from what it had stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sitkit import errors
from sitkit.capabilities import PaidEndpoint
from sitkit.errors import ArtifactError, PluginError, SitkitError, StoreError, UsageError
from sitkit.execution.dry_run import outdated
from sitkit.execution.events import Event, Listener, Notice, StageFinished, StageProgress, StageStarted
from sitkit.execution.walk import RETRY, Outcome, StageRecord, Walk
from sitkit.plan import Plan, build_plan
from sitkit.recipe import recipe_from
from sitkit.registry import Registry, load_plugins
from sitkit.stages import Annotate, Budget, Node
from sitkit.store import Artifact, Store, disk_errors
from sitkit.types import Json, StageInfo

_MOST_DEATHS = 3
_POLL_SECONDS = 0.5


def run_on_ray(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Outcome:
    """Run every stage that is not stored yet on the cluster of RAY_ADDRESS, or on one started here.

    Raises `UsageError` if Ray is not installed, and what `sitkit.execution.walk.run_plan` raises.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError('Ray is not installed: pip install "sitkit[ray]", or leave --executor out') from error
    store.prepare()
    driver = _Driver(plan, store, registry, listener)
    with disk_errors(store.workspace), _connected(ray):
        driver.drive(ray)
    driver.outcome.stages.sort(key=lambda record: driver.order[record.key])
    return driver.outcome


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    mine = not ray.is_initialized()
    if mine:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


@dataclass
class _Running:
    node: Node
    lane: Any


@dataclass
class _Driver:
    plan: Plan
    store: Store
    registry: Registry
    listener: Listener
    outcome: Outcome = field(default_factory=Outcome)
    deaths: dict[str, int] = field(default_factory=dict)
    waiting: list[Node] = field(default_factory=list)
    running: dict[Any, _Running] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    lanes: int = 0

    def __post_init__(self) -> None:
        self.order = {one.key: index for index, one in enumerate(self.plan.nodes, 1)}

    def drive(self, ray: Any) -> None:
        """Keep every lane busy with a stage whose inputs are there, until no stage is left."""
        self.waiting = list(self.plan.nodes)
        here = Walk(
            self.plan, self.store, self.registry, self.listener, self.outcome, Budget(self.plan.recipe.max_cost)
        )
        for one in [one for one in self.waiting if _belongs_here(one)]:
            # One budget holds for all calls that cost money, and they need no machine of the cluster.
            here.visit(one, self.order[one.key])
            self.waiting.remove(one)
        while self.waiting or self.running:
            self._reuse(here)
            self._start(ray)
            if self.running:
                self._collect(ray)

    def _reuse(self, here: Walk) -> None:
        for one in list(self.waiting):
            if self._ready(one) and self._stored(one) is not None:
                here.visit(one, self.order[one.key])
                self.waiting.remove(one)

    def _ready(self, one: Node) -> bool:
        return all(source.key in self.outcome.artifacts for source in one.stage.inputs)

    def _stored(self, one: Node) -> Artifact | None:
        try:
            artifact = self.store.find(one.stage.name, one.key)
        except ArtifactError:
            return None
        if artifact is None or artifact.info.get(RETRY) or outdated(artifact, one, self.outcome.artifacts) is not None:
            return None
        return artifact

    def _start(self, ray: Any) -> None:
        for one in [one for one in self.waiting if self._ready(one)]:
            if not self.idle:
                if self.lanes >= _lanes(ray, self._gpus()):
                    return
                self.idle.append(self._open(ray))
                self.lanes += 1
            lane = self.idle.pop()
            self.waiting.remove(one)
            self.listener(StageStarted(self._info(one), self.order[one.key], len(self.plan.nodes)))
            self.running[lane.run.remote(one.key)] = _Running(one, lane)

    def _open(self, ray: Any) -> Any:
        lane = ray.remote(num_cpus=1, num_gpus=self._gpus() if ray.cluster_resources().get("GPU") else 0)(Lane)
        recipe = self.plan.full_recipe().as_mapping()
        return lane.options(max_concurrency=2).remote(recipe, str(self.store.workspace), str(Path.cwd()))

    def _gpus(self) -> int:
        return max(max(one.instruct.processes, one.refine.processes) for one in self.plan.settings.values())

    def _collect(self, ray: Any) -> None:
        done, _ = ray.wait(list(self.running), timeout=_POLL_SECONDS)
        for job in done:
            running = self.running.pop(job)
            try:
                told = ray.get(job)
            except ray.exceptions.RayActorError as error:
                self._died(running.node, error)
                continue
            self.idle.append(running.lane)
            self._finish(running.node, told)
        for running in self.running.values():
            try:
                done_now, total = ray.get(running.lane.progress.remote(), timeout=_POLL_SECONDS)
            except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                continue
            if total:
                self.listener(StageProgress(self._info(running.node), done_now, total))

    def _died(self, one: Node, error: Exception) -> None:
        self.lanes -= 1
        self.deaths[one.key] = self.deaths.get(one.key, 0) + 1
        if self.deaths[one.key] >= _MOST_DEATHS:
            raise PluginError(f"{one.title}: its worker died {_MOST_DEATHS} times; is there enough memory?") from error
        self._tell(f"the worker of {one.title} died; the stage goes on in another one from what is stored")
        self.waiting.insert(0, one)

    def _finish(self, one: Node, told: Mapping[str, Json]) -> None:
        for text in told["notices"]:
            self._tell(text)
        if told["error"] is not None:
            raise _error(*told["error"])
        artifact = self.store.find(one.stage.name, one.key)
        if artifact is None:
            raise StoreError(
                f"{one.title} was run on another machine, but {self.store.workspace} does not show it:"
                " the workspace must lie on a file system all machines of the cluster share"
            )
        self.outcome.artifacts[one.key] = artifact
        info, reused = self._info(one), bool(told["reused"])
        self.outcome.stages.append(
            StageRecord(info.stage, info.label, info.key, artifact.seconds, reused, artifact.info)
        )
        self.listener(StageFinished(info, artifact.seconds, reused, artifact.info))

    def _info(self, one: Node) -> StageInfo:
        return StageInfo(one.stage.name, one.stage.label(), one.key, self.store.folder(one.stage.name, one.key))

    def _tell(self, text: str) -> None:
        self.outcome.notices.append(text)
        self.listener(Notice(text))


class Lane:
    """A worker with the recipe's plan and whatever its students have loaded; runs one stage at a time."""

    def __init__(self, recipe: Json, workspace: str, folder: str) -> None:
        os.chdir(folder)
        self._registry = load_plugins()
        self._plan = build_plan(recipe_from(recipe, "recipe"), self._registry)
        self._store = Store(Path(workspace))
        self._progress = (0, 0)

    def run(self, key: str) -> dict[str, Json]:
        """Run the stage of that key and return whether it was stored already, its notices, and its error if any."""
        outcome = Outcome()
        try:
            one = self._plan.by_key.get(key)
            if one is None:
                raise StoreError(
                    "this machine plans other stages: are sitkit and its plugins the same version everywhere?"
                )
            for source in one.stage.inputs:
                found = self._store.find(source.stage.name, source.key)
                if found is None:
                    raise StoreError(f"{source.title} is not in {self._store.workspace}, as this machine sees it")
                outcome.artifacts[source.key] = found
            walk = Walk(self._plan, self._store, self._registry, self._listen, outcome, Budget())
            with disk_errors(self._store.workspace):
                walk.visit(one, 1)
        except SitkitError as error:
            return {"error": [type(error).__name__, str(error)], "notices": outcome.notices, "reused": False}
        return {"error": None, "notices": outcome.notices, "reused": outcome.stages[-1].reused}

    def progress(self) -> tuple[int, int]:
        """Return how much of the running stage is done, of how much."""
        return self._progress

    def _listen(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            self._progress = (event.done, event.total)
        elif isinstance(event, StageStarted):
            self._progress = (0, 0)


def _belongs_here(one: Node) -> bool:
    return isinstance(one.stage, Annotate) and isinstance(one.stage.teacher.made, PaidEndpoint)


def _lanes(ray: Any, gpus: int) -> int:
    resources = ray.cluster_resources()
    if resources.get("GPU"):
        return max(1, int(resources["GPU"]) // gpus)
    return max(1, int(resources.get("CPU", 1)))


def _error(name: str, text: str) -> SitkitError:
    kind = getattr(errors, name, SitkitError)
    error: SitkitError = kind.__new__(kind)
    Exception.__init__(error, text)
    return error
