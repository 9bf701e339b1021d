"""A plan on a local Ray of two CPUs: the same artifacts, and a worker that is killed changes nothing."""

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from sitkit.execution.events import Event, StageProgress
from sitkit.execution.ray_executor import RayExecutor, Worker, _most_workers, _Running
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store

pytest.importorskip("ray", reason='Ray is not installed: pip install "sitkit[ray]"')
pytestmark = pytest.mark.slow

ARGUMENTS = [
    "run", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_cups", "--limit", "24", "--test-limit", "12",
    "--seeds", "2", "--set", "train.max_steps=6", "--set", "train.warmup=0", "--name", "one",
]  # fmt: skip


def _started(workspace: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sitkit", *ARGUMENTS, "--workspace", str(workspace), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _results(workspace: Path) -> Any:
    return json.loads((workspace / "runs" / "one" / "results.json").read_text())


def _workers(parent: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        try:
            if "ray::Worker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ray_gives_the_same_scores_although_a_worker_is_killed(tmp_path: Path) -> None:
    here = _started(tmp_path / "here")
    said, _ = here.communicate(timeout=600)
    assert here.returncode == 0, said

    there = _started(tmp_path / "there", "--executor", "ray")
    killed = False
    while there.poll() is None and not killed:
        busy = list((tmp_path / "there" / "store").glob("instruct/*/scratch/*"))
        if busy and (workers := _workers(there.pid)):
            for worker in workers:
                worker.kill()
            killed = True
        time.sleep(0.05)
    said, _ = there.communicate(timeout=600)
    assert there.returncode == 0, said
    assert killed
    assert "died; the stage goes on in another one" in said
    assert _results(tmp_path / "there")["cells"] == _results(tmp_path / "here")["cells"]
    keys = [[stage["key"] for stage in _results(tmp_path / where)["stages"]] for where in ("here", "there")]
    assert keys[0] == keys[1]


def test_an_error_in_a_worker_is_the_same_line(tmp_path: Path) -> None:
    command = _started(tmp_path, "--executor", "ray", "--teacher", "tiny,slip_rate=1")
    said, _ = command.communicate(timeout=200)
    assert command.returncode == 2, said
    assert "demonstrations can be trained on" in said.splitlines()[-1]


FEW_GPUS = """
import sys
from pathlib import Path
import ray
from sitkit.errors import UsageError
from sitkit.execution.ray_executor import RayExecutor
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store

ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
registry = load_plugins()
plan = build_plan(Recipe(limit=4, test_limit=2, settings={"train": {"processes": 2}}), registry)
try:
    RayExecutor(plan, Store(Path(sys.argv[1])), registry, lambda event: None).run()
except UsageError as error:
    print(error)
"""


def test_more_processes_than_any_machine_has_gpus_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", FEW_GPUS, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.startswith("processes=2: a stage trains on as many GPUs of one machine, and none of the cluster")


@pytest.mark.parametrize(("gpus", "workers"), [(1, 6), (2, 2), (3, 2)])
def test_a_worker_has_its_gpus_on_one_machine(gpus: int, workers: int) -> None:
    machines = [{"Alive": alive, "Resources": {"CPU": 4.0, "GPU": 3.0}} for alive in (True, True, False)]
    ray = SimpleNamespace(nodes=lambda: machines, cluster_resources=lambda: {"CPU": 8.0, "GPU": 6.0})
    # Machines of three GPUs each: a worker of two leaves one over, and two that are left over make no worker.
    assert _most_workers(ray, gpus) == workers


def test_progress_of_a_worker_has_its_loss_and_what_is_under_way(tmp_path: Path) -> None:
    heard, registry = list[Event](), load_plugins()
    plan = build_plan(Recipe(limit=4, test_limit=2), registry)
    executor, node = RayExecutor(plan, Store(tmp_path), registry, heard.append), plan.nodes[0]
    worker = object.__new__(Worker)
    remote = SimpleNamespace(progress=SimpleNamespace(remote=worker.progress))
    executor._running = {"job": _Running(node, remote)}
    ray = SimpleNamespace(
        wait=lambda jobs, timeout: ([], jobs),
        get=lambda told, timeout: told,
        exceptions=SimpleNamespace(RayActorError=OSError, GetTimeoutError=OSError),
    )
    worker._progress = None
    executor._collect(ray)
    assert heard == []
    told = StageProgress(executor.info(node), 3, 9, loss=0.5, part=1.5)
    worker._listen(told)
    executor._collect(ray)
    assert heard == [told]


def _listening(parent: psutil.Process) -> tuple[set[str], set[str]]:
    """The addresses that a process and those it started listen on, and the temporary folders they name."""
    addresses, folders = set(), set()
    for process in [parent, *parent.children(recursive=True)]:
        try:
            for found in process.net_connections(kind="inet"):
                if found.status == psutil.CONN_LISTEN or found.type == socket.SOCK_DGRAM:
                    addresses.add(found.laddr.ip.removeprefix("::ffff:"))
            folders |= set(re.findall(r"(/\S*sitkit-ray-[^/\s]+)", " ".join(process.cmdline())))
        except psutil.Error:
            continue
    return addresses, folders


RUN = """
import os, sys, threading
from pathlib import Path
from sitkit.plan import build_plan
from sitkit.recipe import Recipe
from sitkit.registry import load_plugins
from sitkit.store import Store

registry, done = load_plugins(), []
before = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}

def run(workspace):
    recipe = Recipe(
        train_on=("tiny_chain",), eval_on=("tiny_chain",), limit=4, test_limit=2,
        settings={"train": {"max_steps": 1, "warmup": 0}},
    )
    plan = build_plan(recipe, registry)
    outcome = registry.executor("ray", plan, Store(Path(workspace)), lambda event: None).run()
    done.append([record.key for record in outcome.stages] == [node.key for node in plan.nodes])

threads = [threading.Thread(target=run, args=(workspace,)) for workspace in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert done == [True] * len(threads), done
assert {name: value for name, value in os.environ.items() if name.startswith("RAY_")} == before
import ray
assert not ray.is_initialized()
"""


def test_what_is_started_listens_on_loopback_alone_and_hides_its_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "w")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "HOME": str(home)},
    )  # fmt: skip
    addresses, folders, modes = set[str](), set[str](), set[int]()
    while command.poll() is None:
        more, named = _listening(psutil.Process(command.pid))
        addresses |= more
        folders |= named
        for folder in named:
            with contextlib.suppress(FileNotFoundError):
                modes |= {stat.S_IMODE(path.stat().st_mode) for path in (Path(folder), Path(folder, "token"))}
        time.sleep(0.2)
    said, _ = command.communicate()
    assert command.returncode == 0, said
    assert addresses == {"127.0.0.1"}
    assert modes == {0o700, 0o600}
    assert len(folders) == 1
    assert not any(Path(folder).exists() for folder in folders)
    assert not (home / ".ray").exists()
