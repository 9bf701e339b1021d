"""What an installation is: versions, device, memory, disk, keys, plugins; nothing heavy is imported, no key is read."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sitkit.plugin_support import machine_memory
from sitkit.providers import OURS
from sitkit.registry import Registry
from sitkit.store import Store

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "lm_eval", "vllm", "ray")
_KEYS = ("HF_TOKEN", "OPENAI_API_KEY")
_HOSTS = {
    "Hugging Face hub": ("HF_ENDPOINT", "https://huggingface.co"),
    "OpenAI": ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
}
_SECONDS = 5.0


@dataclass(frozen=True)
class Installation:
    """What is there. Sizes are in bytes; ``keys``: which are set; ``hosts``: why one is not reached ("" if it is)."""

    sitkit: str
    python: str
    system: str
    packages: Mapping[str, str]
    devices: tuple[str, ...]
    cores: int
    memory: int
    memory_free: int
    disk: Mapping[str, int]
    offline: bool
    keys: Mapping[str, bool]
    plugins: tuple[str, ...]
    broken: tuple[str, ...]
    hosts: Mapping[str, str] = field(default_factory=dict)


def examine(registry: Registry, workspace: Path, *, network: bool = False) -> Installation:
    """Look at the installation; with ``network`` the hosts are asked, five seconds each at most."""
    memory, memory_free = machine_memory()
    return Installation(
        sitkit=_version(OURS) or "not installed",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        devices=tuple(_devices()),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory,
        memory_free=memory_free,
        disk=dict(_disks(workspace)),
        offline=os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"),
        keys={name: bool(os.environ.get(name)) for name in _key_names()},
        plugins=tuple(_plugins(registry)),
        broken=tuple(str(broken) for broken in registry.broken),
        hosts={name: _unreached(os.environ.get(variable) or url) for name, (variable, url) in _HOSTS.items()}
        if network
        else {},
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _devices() -> Iterator[str]:
    """Yield each GPU as the driver's own tool names it, with its memory: torch takes seconds to import."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    asked = [tool, "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        yield f"nvidia-smi fails: {type(error).__name__}"
        return
    for line in done.stdout.splitlines():
        name, total, free, driver = (part.strip() for part in line.split(",", 3))
        yield f"{name}, {total}, {free} free, driver {driver}"


def _disks(workspace: Path) -> Iterator[tuple[str, int]]:
    cache = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    for title, folder in (("workspace", Store(workspace).workspace), ("hub cache", Path(cache).expanduser())):
        there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
        if there is not None:
            yield f"{title} {_shown(folder)}", shutil.disk_usage(there).free


def _shown(path: Path) -> str:
    # What is pasted into a bug report need not tell who pasted it.
    with_home = path.absolute()
    home = Path.home()
    return f"~/{with_home.relative_to(home)}" if with_home.is_relative_to(home) else str(with_home)


def _key_names() -> list[str]:
    named = sorted(name for name in os.environ if name.endswith("_API_KEY"))
    return list(dict.fromkeys([*_KEYS, *named]))


def _plugins(registry: Registry) -> Iterator[str]:
    for provider in registry.hooks():
        why = "" if provider.source is None else f" ({provider.source.why})"
        yield f"{provider.distribution} {provider.version}{why}"


def _unreached(url: str) -> str:
    """Return why a host does not answer; whatever it answers is an answer."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, method="HEAD"), timeout=_SECONDS):
            return ""
    except HTTPError:
        return ""
    except (OSError, ValueError) as error:
        return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
