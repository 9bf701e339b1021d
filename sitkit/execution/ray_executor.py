"""Run a plan on a Ray cluster: independent stages at once, the same artifacts in the same store.

Workers are Ray actors, each with a plan and a loaded student of its own, and each with the GPUs a stage needs. The
driver hands a worker one stage at a time; what a stage has made lies in the store, which every machine of the cluster
must see (a shared file system). A worker that dies is replaced, and its stage goes on from what it had stored.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitkit import errors
from sitkit.capabilities import PaidEndpoint
from sitkit.errors import PluginError, SitkitError, StoreError, UsageError
from sitkit.execution.events import Event, Listener, StageProgress, StageStarted
from sitkit.execution.executor import Executor
from sitkit.execution.here_executor import HereExecutor
from sitkit.plan import Plan, build_plan
from sitkit.recipe import recipe_from
from sitkit.registry import Registry, load_plugins
from sitkit.stages import Annotate, Node
from sitkit.store import Store, disk_errors
from sitkit.types import Json

_MOST_DEATHS = 3
_POLL_SECONDS = 0.5
_LOOPBACK = ("127.0.0.1", "::1")
_CONNECTING = threading.Lock()
"""A process has one connection to Ray: a second run that would start a cluster waits until the first is done."""


@dataclass
class _Running:
    node: Node
    worker: Any


class RayExecutor(Executor):
    """Keeps every worker busy with a stage whose inputs are there, until no stage is left."""

    def __init__(self, plan: Plan, store: Store, registry: Registry, listener: Listener) -> None:
        super().__init__(plan, store, registry, listener)
        self._waiting: list[Node] = list(plan.nodes)
        self._running: dict[Any, _Running] = {}
        self._idle: list[Any] = []
        self._workers = 0
        self._deaths: dict[str, int] = {}

    def execute(self) -> None:
        """Run every stage on the cluster of RAY_ADDRESS, or on one started here that listens on loopback alone.

        Raises `UsageError` if Ray is not installed or would listen on the network, and where no machine of the cluster
        has the GPUs that a stage trains with.
        """
        with _ray() as ray:
            self._check_gpus(ray)
            for node in [node for node in self._waiting if _is_asked_here(node)]:
                # One budget holds for all calls that cost money, and they need no machine of the cluster.
                self.visit(node)
                self._waiting.remove(node)
            while self._waiting or self._running:
                self._reuse()
                self._start(ray)
                if self._running:
                    self._collect(ray)

    def _reuse(self) -> None:
        for node in list(self._waiting):
            if self._is_ready(node):
                found = self.freshness(node)
                if found.holds and found.artifact is not None:
                    self.record(node, found.artifact, reused=True)
                    self._waiting.remove(node)

    def _is_ready(self, node: Node) -> bool:
        return all(source.key in self.outcome.artifacts for source in node.stage.inputs)

    def _start(self, ray: Any) -> None:
        for node in [node for node in self._waiting if self._is_ready(node)]:
            if not self._idle:
                if self._workers >= _most_workers(ray, self._gpus()):
                    return
                self._idle.append(self._open(ray))
                self._workers += 1
            self._check_questions()
            worker = self._idle.pop()
            self._waiting.remove(node)
            self.started(node)
            self._running[worker.run.remote(node.key)] = _Running(node, worker)

    def _open(self, ray: Any) -> Any:
        actor = ray.remote(num_cpus=1, num_gpus=self._gpus() if ray.cluster_resources().get("GPU") else 0)(Worker)
        recipe = self.plan.full_recipe().as_mapping()
        return actor.options(max_concurrency=2).remote(recipe, str(self.store.workspace), str(Path.cwd()))

    def _gpus(self) -> int:
        return max(max(one.instruct.processes, one.refine.processes) for one in self.plan.settings.values())

    def _check_gpus(self, ray: Any) -> None:
        # Ray would wait for such a machine for ever, and say nothing.
        most = max(_gpus_by_machine(ray), default=0)
        if 0 < most < self._gpus():
            raise UsageError(
                f"processes={self._gpus()}: a stage trains on as many GPUs of one machine, and none of the cluster has"
                f" more than {most}; lower instruct.processes and refine.processes"
            )

    def _collect(self, ray: Any) -> None:
        done, _ = ray.wait(list(self._running), timeout=_POLL_SECONDS)
        for job in done:
            running = self._running.pop(job)
            try:
                returned = ray.get(job)
            except ray.exceptions.RayActorError as error:
                self._died(running.node, error)
                continue
            self._idle.append(running.worker)
            self._finish(running.node, returned)
        for running in self._running.values():
            try:
                told = ray.get(running.worker.progress.remote(), timeout=_POLL_SECONDS)
            except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
                continue
            if told is not None and told.total:
                self.progressed(running.node, told.done, told.total, told.loss, told.part)

    def _died(self, node: Node, error: Exception) -> None:
        self._workers -= 1
        self._deaths[node.key] = self._deaths.get(node.key, 0) + 1
        if self._deaths[node.key] >= _MOST_DEATHS:
            raise PluginError(f"{node.title}: its worker died {_MOST_DEATHS} times; is there enough memory?") from error
        self.tell(f"the worker of {node.title} died; the stage goes on in another one from what is stored")
        self._waiting.insert(0, node)

    def _finish(self, node: Node, returned: Mapping[str, Json]) -> None:
        for text in returned["notices"]:
            self.tell(text)
        if returned["error"] is not None:
            raise _error(*returned["error"])
        artifact = self.freshness(node).artifact
        if artifact is None:
            raise StoreError(
                f"{node.title} was run on another machine, but {self.store.workspace} does not show it:"
                " the workspace must lie on a file system all machines of the cluster share"
            )
        self.record(node, artifact, reused=bool(returned["reused"]))


class Worker:
    """A process of the cluster with the recipe's plan and whatever its students have loaded; runs a stage at a time."""

    def __init__(self, recipe: Json, workspace: str, folder: str) -> None:
        # A process of its own, so nobody else's folder changes; SPECs and recipes may name files relative to it.
        os.chdir(folder)
        said = recipe_from(recipe, "recipe")
        self._registry = load_plugins().with_files(said.plugins)
        self._plan = build_plan(said, self._registry)
        self._store = Store(Path(workspace))
        self._progress: StageProgress | None = None

    def run(self, key: str) -> dict[str, Json]:
        """Run the stage of that key and return whether it was stored already, its notices, and its error if any."""
        executor = HereExecutor(self._plan, self._store, self._registry, self._listen)
        outcome, error = executor.outcome, None
        try:
            node = self._plan.by_key.get(key)
            if node is None:
                raise StoreError(
                    "this machine plans other stages: are sitkit and its plugins the same version everywhere?"
                )
            for source in node.stage.inputs:
                found = self._store.find(source.stage.name, source.key)
                if found is None:
                    raise StoreError(f"{source.title} is not in {self._store.workspace}, as this machine sees it")
                outcome.artifacts[source.key] = found
            with disk_errors(self._store.workspace):
                executor.visit(node)
        except SitkitError as raised:
            error = [type(raised).__name__, str(raised)]
        reused = bool(outcome.stages) and outcome.stages[-1].reused
        return {"error": error, "notices": outcome.notices, "reused": reused}

    def progress(self) -> StageProgress | None:
        """Return what the running stage has told of its progress last, if it has."""
        return self._progress

    def _listen(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            self._progress = event
        elif isinstance(event, StageStarted):
            self._progress = None


def _is_asked_here(node: Node) -> bool:
    return isinstance(node.stage, Annotate) and isinstance(node.stage.teacher.made, PaidEndpoint)


def _most_workers(ray: Any, gpus: int) -> int:
    machines = _gpus_by_machine(ray)
    if any(machines):
        # What machines have left over makes no worker together: it would be waited for until the others are gone.
        return max(1, sum(count // gpus for count in machines))
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _gpus_by_machine(ray: Any) -> list[int]:
    return [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]


def _error(name: str, text: str) -> SitkitError:
    kind = getattr(errors, name, SitkitError)
    error: SitkitError = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


@contextmanager
def _ray() -> Iterator[Any]:
    """Yield the ray module, connected: as the process is already, to RAY_ADDRESS, or to a cluster of our own."""
    with _CONNECTING, ExitStack() as stack:
        named = os.environ.get("RAY_ADDRESS")
        # Ray reads some of these while it is imported.
        private = None if named else stack.enter_context(_private())
        try:
            import ray
        except ImportError as error:
            raise UsageError('Ray is not installed: pip install "sitkit[ray]", or leave --executor out') from error
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            if private is None:
                ray.init(address=named, log_to_driver=False, logging_level="ERROR")
            else:
                _start_on_loopback(ray, private)
        yield ray


@contextmanager
def _private() -> Iterator[Path]:
    """Yield a folder that only this user can read, with Ray told to listen on loopback and to ask for a token.

    Ray gives its own temporary folder to everybody (0777), so it lies inside; the token's file is what lets a process
    give orders to the cluster.
    """
    # Ray's sockets lie in it, and the path of a socket has at most 103 characters on macOS.
    short = "/tmp" if Path("/tmp").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="sitkit-ray-", dir=short))
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    wanted = {
        # By its name for other systems, everywhere: without a cluster of several machines Ray uses loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    before = {name: os.environ.get(name) for name in (*wanted, "RAY_AUTH_TOKEN")}
    os.environ.update(wanted)
    os.environ.pop("RAY_AUTH_TOKEN", None)
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def _start_on_loopback(ray: Any, private: Path) -> None:
    from ray import _raylet  # its compiled part, which mypy cannot see into
    from ray._private import ray_constants

    # Whoever imported Ray before has its choice of addresses, and a token of another cluster, in memory.
    several, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    vars(_raylet)["AuthenticationTokenLoader"].instance().reset_cache()
    try:
        ray.init(
            # Never a cluster that happens to run on this machine.
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(private / "ray"),
        )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
    address = ray.util.get_node_ip_address()
    if address not in _LOOPBACK:
        raise UsageError(f"this version of Ray ({ray.__version__}) listens on {address}: set RAY_ADDRESS to a cluster")
