"""The content-addressed store: what determines a stage -> key -> folder of artifacts, the manifest written last."""

from sitkit.store.artifacts import Artifact, Store
from sitkit.store.journal import Journal
from sitkit.store.keys import canonical, make_key

__all__ = ["Artifact", "Journal", "Store", "canonical", "make_key"]
