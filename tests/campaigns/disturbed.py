"""Runs whose endpoint fails, whose disk is full, or that have others beside them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.campaigns.world import PARTS, RUN, Trial, World, numbers
from tests.sitkit_openai.endpoint import NO_MODEL, PASSING, QUOTA, TOO_LONG, Call, Endpoint, Fault, error

LASTING: dict[str, Fault] = {
    "quota": QUOTA, "no model": NO_MODEL, "too long": TOO_LONG,
    "key refused": error(401, "Incorrect API key \x1b[31mprovided", "invalid_request_error", "invalid_api_key"),
    "forbidden": error(403, "no " * 50_000),
    "redirect": error(301, "moved", Location="http://127.0.0.1:9/v1/chat/completions"),
}  # fmt: skip


def full_disk(world: World, draw: random.Random) -> Trial:
    """Let no file grow beyond a random size, twice, then let the run end."""
    found, workspace = Trial("disk", "run"), world.temporary("w")
    for _ in range(2):
        size = int(10 ** draw.uniform(0, 6))
        found.what = f"run, files up to {size:,} bytes"
        done = found.note(world.run(*RUN, "--workspace", str(workspace), file_size=size))
        found.check(done.code == 0 or "space" in done.stderr, f"{found.what}: {done.stderr[-300:]}")
    world.settle(found, RUN, workspace)
    shutil.rmtree(workspace, ignore_errors=True)
    return found


def together(world: World, draw: random.Random) -> Trial:
    """Four runs at once in one workspace, cleanings and reports among them; some are killed."""
    found, workspace = Trial("together", "four runs, cleanings, reports"), world.temporary("w")
    there = ("--workspace", str(workspace))
    commands = [
        (*RUN[:-1], f"r{number}", "--limit", str(draw.choice([6, 10, 14])), "--seed", str(draw.randrange(3)))
        for number in range(4)
    ]
    programs = [world.start(*command, *there) for command in commands]
    for _ in range(draw.randint(2, 5)):
        others = ("clean", "--older-than", "0", "--yes"), ("runs",), ("report", "last"), ("clean", "r1", "--yes")
        found.note(world.run(*draw.choice(others), *there))
    for program in programs:
        killed = draw.random() < 0.25
        found.note(program.end(draw.uniform(0, 1) if killed else None))
    for number, command in enumerate(commands):
        found.note(world.run(*command, *there), allowed=(0,))
        alone = tuple("r" if word == f"r{number}" else word for word in command)
        wanted, _ = world.reference(alone)
        found.check(numbers(workspace, f"r{number}") == wanted, f"together: other numbers of {' '.join(command)}")
    shutil.rmtree(workspace, ignore_errors=True)
    return found


def endpoint(world: World, draw: random.Random) -> Trial:
    """A teacher behind an endpoint that fails now and then, or for good; then one that does not."""
    orders, url = _serving(world)
    command = (
        "run", "--teacher", f"openai:m,base_url={url},concurrency=4,timeout=1,backoff=0.001,retries=4", *PARTS[2:],
        "--train-on", "letters", "--set", "annotate.keep=all", "--no-eval-teacher", "--name", "r",
    )  # fmt: skip
    _order(orders, {})
    world.reference(command)
    found, workspace = Trial("endpoint", ""), world.temporary("w")
    names = draw.sample([*PASSING, *LASTING], draw.choice([1, 1, 2, 4]))
    share = draw.choice([0.1, 0.3, 0.6, 1.0])
    found.what = f"{', '.join(sorted(names))} in {100 * share:g}% of the calls"
    _order(orders, {"names": names, "share": share, "seed": draw.randrange(1000)})
    killed = draw.uniform(0, 2) if draw.random() < 0.3 else None
    found.note(world.start(*command, "--workspace", str(workspace)).end(killed))
    _order(orders, {})
    world.settle(found, command, workspace)
    shutil.rmtree(workspace, ignore_errors=True)
    return found


def _order(path: Path, orders: dict[str, object]) -> None:
    path.with_suffix(".new").write_text(json.dumps(orders), encoding="utf-8")
    path.with_suffix(".new").replace(path)


@cache
def _serving(world: World) -> tuple[Path, str]:
    """Start the endpoint in a process of its own, which reads from a file how to behave; it ends with this one."""
    orders, port = world.folder / "orders.json", world.folder / "port"
    _order(orders, {})
    pid = os.fork()
    if pid == 0:
        try:
            _serve(orders, port)
        finally:
            os._exit(1)
    world.served.append(pid)
    while not port.exists():
        os.sched_yield()
    return orders, port.read_text(encoding="ascii")


def _serve(orders: Path, port: Path) -> None:
    def behave(call: Call) -> Fault | None:
        order = json.loads(orders.read_bytes())
        draw = random.Random(f"{order.get('seed')}{call.prompt}{call.attempt}")
        if draw.random() >= order.get("share", 0):
            return None
        return {**PASSING, **LASTING}[draw.choice(order["names"])]

    with Endpoint(behave) as made:
        made.stall = 1.5
        port.with_suffix(".new").write_text(made.url, encoding="ascii")
        port.with_suffix(".new").replace(port)
        signal.pause()


@contextmanager
def ended(world: World) -> Iterator[None]:
    """End what serves afterwards."""
    try:
        yield
    finally:
        for pid in world.served:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
