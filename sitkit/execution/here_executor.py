"""Walk a plan in this process, stage by stage."""

from __future__ import annotations

from sitkit.errors import PluginError
from sitkit.execution.events import Listener
from sitkit.execution.executor import Executor, Outcome
from sitkit.plan import Plan
from sitkit.registry import Registry
from sitkit.store import Store

__all__ = ["HereExecutor", "Outcome", "run_plan"]


class HereExecutor(Executor):
    """Runs stage after stage in this process."""

    def execute(self) -> None:
        """Visit every stage; each teacher and student is freed after its last, so that memory need not hold all."""
        last_use = {id(part.made): node.key for node in self.plan.nodes for part in node.stage.components}
        for node in self.plan.nodes:
            self.visit(node)
            for part in node.stage.components:
                if last_use[id(part.made)] == node.key:
                    try:
                        part.close()
                    except PluginError as error:
                        self.tell(f"{error}; the run goes on")


def run_plan(plan: Plan, store: Store, registry: Registry, listener: Listener) -> Outcome:
    """Run a plan in this process; raises as `Executor.run` does."""
    return HereExecutor(plan, store, registry, listener).run()
