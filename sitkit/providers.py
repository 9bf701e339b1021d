"""Who a plugin comes from, and whether its source is what its version says."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path

OURS = "sitkit"
"""The distribution that sitkit itself is: the versions of its stages and parts say when their code changes."""

_GROUP = "sitkit"
_LARGE = 2**20


@dataclass(frozen=True)
class Source:
    """The source of a distribution whose version does not name it: the sha256 of its files, and why it is needed."""

    digest: str
    why: str


@dataclass(frozen=True)
class Provider:
    """The distribution a plugin comes from; ``installed`` is its metadata, where it is installed.

    A plugin that is one file has the file's name for a distribution, and ``content``, the sha256 of what was imported.
    """

    distribution: str
    version: str
    installed: Distribution | None = field(default=None, repr=False, compare=False)
    content: str = field(default="", repr=False)

    @cached_property
    def source(self) -> Source | None:
        """The plugin's source where its version does not determine it; None for sitkit, and for files as installed."""
        if self.content:
            return Source(self.content, "is a single file")
        if self.installed is None or self.distribution == OURS:
            return None
        why = _why_unknown(self.installed)
        return None if why is None else Source(_digest(self.installed), why)

    def as_json(self) -> dict[str, str]:
        """Return what keys hold of it: name and version, and the digest of its source where it has one."""
        named = {"distribution": self.distribution, "version": self.version}
        return named if self.source is None else {**named, "source": self.source.digest}


def _why_unknown(installed: Distribution) -> str | None:
    try:
        url = json.loads(installed.read_text("direct_url.json") or "{}")
        if url.get("dir_info", {}).get("editable"):
            return "is an editable install"
        files = installed.files
    except (OSError, ValueError, AttributeError):
        return "has metadata that cannot be read"
    recorded = [file for file in files or () if file.suffix == ".py" and file.hash is not None]
    if not recorded:
        return "has no record of the files that were installed"
    for file in recorded:
        if file.hash is None or _recorded_hash(Path(str(file.locate())), file.hash.mode) != file.hash.value:
            return f"was changed since it was installed ({file})"
    return None


def _recorded_hash(path: Path, algorithm: str) -> str:
    try:
        digest = hashlib.new(algorithm, path.read_bytes()).digest()
    except (OSError, ValueError):
        return ""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _digest(installed: Distribution) -> str:
    """The sha256 of the modules and packages that the entry points name; of large files the size counts alone."""
    found = hashlib.sha256()
    modules = {point.module for point in installed.entry_points if point.group == _GROUP}
    for place in sorted({place for module in modules for place in _places(module)}):
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if _counts(path, place))
        for path in files:
            size = path.stat().st_size
            content = hashlib.sha256(path.read_bytes()).hexdigest() if size <= _LARGE else ""
            found.update(f"{path.relative_to(place.parent).as_posix()}\0{size}\0{content}\n".encode())
    return found.hexdigest()


def _counts(path: Path, root: Path) -> bool:
    inside = path.relative_to(root).parts
    return path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside)


def _places(module: str) -> Iterator[Path]:
    """Yield the file or the folder of the outermost package; one that several distributions share is looked into."""
    names = module.split(".")
    for length in range(1, len(names) + 1):
        try:
            spec = importlib.util.find_spec(".".join(names[:length]))
        except (ImportError, ValueError, AttributeError):
            return
        if spec is None:
            return
        if spec.origin is not None and spec.has_location:
            file = Path(spec.origin)
            yield file.parent if spec.submodule_search_locations is not None else file
            return
