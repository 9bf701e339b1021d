"""The one rule by which a stored stage still holds: found whole, made from the inputs as they are, nothing to retry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sitkit.errors import ArtifactError
from sitkit.stages import Node
from sitkit.store import Artifact, Store

RETRY = "retry"
"""In a stage's info: it is whole, but the next run of the same command tries parts of it again."""


@dataclass(frozen=True)
class Freshness:
    """What the store holds of a stage.

    ``artifact`` is whole and made from the inputs as they are now; None where there is no such thing. ``reason`` says
    in a few words why the stage has to run although something is stored, and is empty otherwise.
    """

    artifact: Artifact | None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the artifact can be used and the stage need not run."""
        return self.artifact is not None and not self.reason

    @property
    def discarded(self) -> bool:
        """Whether what is stored is of no use, and has to go before the stage runs."""
        return self.artifact is None and bool(self.reason)


def freshness(node: Node, store: Store, made: Mapping[str, Artifact]) -> Freshness:
    """Return whether what is stored of a stage still holds; ``made`` are the artifacts of its inputs, by key.

    Keys name what determines a stage; a stage that was run again, because replies had failed or files were damaged,
    may still have come out otherwise, and what was made from it then no longer holds.
    """
    try:
        artifact = store.find(node.stage.name, node.key)
    except ArtifactError as error:
        return Freshness(None, str(error))
    if artifact is None:
        return Freshness(None)
    for source in node.stage.inputs:
        if source.key not in made or made[source.key].content != artifact.made_from.get(source.key):
            return Freshness(None, f"{source.title} has changed")
    return Freshness(artifact, "replies that failed are asked for again" if artifact.info.get(RETRY) else "")
