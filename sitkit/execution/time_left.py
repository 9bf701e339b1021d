"""How long the rest of a plan will take, from what its finished stages took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sitkit.plan import Plan
from sitkit.stages.base import Node

_Kind: TypeAlias = tuple[object, ...]


class TimeLeft:
    """Knows the seconds that each stage of a plan took, made now or in an earlier run, and expects as many of its like:
    of the same kind and part first, scaled by the prompts answered or, in training, by those of the stages it reads.
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = plan.by_key
        self._work = dict[str, int]()
        for node in plan.nodes:
            inputs = sum(self._work[source.key] for source in node.stage.inputs)
            self._work[node.key] = node.stage.prompts() or inputs or 1

    def after(self, current: str, seconds: Mapping[str, float]) -> tuple[float, int]:
        """Return the seconds expected for the stages that are neither finished nor the ``current`` one, and for how
        many of them nothing of their like is finished, which are left out of the seconds.

        ``seconds``: those of each finished stage, by key.
        """
        known = self._known(seconds)
        expected, unknown = 0.0, 0
        for node in self._nodes.values():
            if node.key == current or node.key in seconds:
                continue
            rate = next((known[kind] for kind in _kinds(node) if kind in known), None)
            if rate is None:
                unknown += 1
            else:
                expected += self._work[node.key] * rate
        return expected, unknown

    def _known(self, seconds: Mapping[str, float]) -> dict[_Kind, float]:
        took, work = defaultdict[_Kind, float](float), defaultdict[_Kind, int](int)
        for key, spent in seconds.items():
            for kind in _kinds(self._nodes[key]):
                took[kind] += spent
                work[kind] += self._work[key]
        return {kind: took[kind] / work[kind] for kind in took}


def _kinds(node: Node) -> Iterable[_Kind]:
    """Yield what a stage is like, the closest first: its kind and part; for one that answers prompts, its part."""
    parts = tuple(id(part.made) for part in node.stage.components)
    yield (node.stage.name, *parts)
    if node.stage.prompts() and node.stage.name in ("sample", "evaluate"):
        yield ("answering", *parts)
