"""The executors that come with sitkit, plugged in through the same hook as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from sitkit.execution.events import Listener
    from sitkit.execution.executor import Executor
    from sitkit.hookspecs import ExecutorFactory, Register
    from sitkit.plan import Plan
    from sitkit.registry import Registry
    from sitkit.store import Store


@hookimpl
def sitkit_executors(register: Register[ExecutorFactory]) -> None:
    """Register this process and Ray."""
    register("here", here)
    register("ray", on_ray)


def here(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Executor:
    """In this process, one stage after the other."""
    from sitkit.execution.here_executor import HereExecutor

    return HereExecutor(plan, store, registry, listener)


def on_ray(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Executor:
    """Independent stages at once, on this machine's CPUs and GPUs or on the Ray cluster of RAY_ADDRESS."""
    from sitkit.execution.ray_executor import RayExecutor

    return RayExecutor(plan, store, registry, listener)
