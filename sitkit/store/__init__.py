"""The content-addressed store: what determines a stage -> key -> folder of artifacts, the manifest written last."""

from sitkit.store.artifacts import DISK_FULL, SCRATCH, Artifact, Store, disk_errors, write_atomically
from sitkit.store.journal import Journal
from sitkit.store.keys import canonical, make_key

__all__ = [
    "DISK_FULL",
    "SCRATCH",
    "Artifact",
    "Journal",
    "Store",
    "canonical",
    "disk_errors",
    "make_key",
    "write_atomically",
]
