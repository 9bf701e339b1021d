"""The content-addressed store: what determines a stage -> key -> folder of artifacts, the manifest written last."""

from sitkit.store.artifacts import DISK_FULL, KEY_DIGITS, SCRATCH, Artifact, Store, disk_errors, short, write_atomically
from sitkit.store.journal import Journal
from sitkit.store.keys import canonical, make_key

__all__ = [
    "DISK_FULL",
    "KEY_DIGITS",
    "SCRATCH",
    "Artifact",
    "Journal",
    "Store",
    "canonical",
    "disk_errors",
    "make_key",
    "short",
    "write_atomically",
]
