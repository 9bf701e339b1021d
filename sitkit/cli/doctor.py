"""``sitkit doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option, workspace_option
from sitkit.cli.terminal import echo, echo_json
from sitkit.registry import Registry

if TYPE_CHECKING:
    from sitkit.workspace.doctor import Installation


@click.command(short_help="Say what this installation is.")
@click.option("--network", is_flag=True, help="Also ask the hub and OpenAI whether they answer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workspace_option
@debug_option
@click.pass_obj
def doctor(registry: Registry, network: bool, as_json: bool, workspace: Path) -> int:
    """Say what this installation is, on one screen, to be pasted into a bug report: versions, device and memory, free
    disk, which keys are set (never what they are), plugins. Exits with 1 if a plugin is broken.

    No host is asked without --network.
    """
    from dataclasses import asdict

    from sitkit.workspace.doctor import examine

    found = examine(registry, workspace, network=network)
    if as_json:
        echo_json(asdict(found))
    else:
        for title, text in _lines(found):
            echo(f"{title:<9} {text}")
    return 1 if found.broken else 0


def _lines(found: Installation) -> Iterator[tuple[str, str]]:
    from sitkit.cli.show import size_text

    yield "sitkit", f"{found.sitkit}, Python {found.python}, {found.system}"
    yield "packages", ", ".join(f"{name} {version}" for name, version in found.packages.items()) or "none"
    for device in found.devices or ("none: no NVIDIA driver is found, so training and generation use the CPU",):
        yield "device", device
    yield "machine", f"{found.cores} cores, {size_text(found.memory)}, {size_text(found.memory_free)} free"
    for place, free in found.disk.items():
        yield "disk", f"{place}: {size_text(free)} free"
    if found.offline:
        yield "hub", "HF_HUB_OFFLINE is set: nothing is downloaded"
    for host, why in found.hosts.items():
        yield "network", f"{host}: {f'not reached ({why})' if why else 'answers'}"
    yield "keys", ", ".join(f"{name} {'is set' if is_set else 'is not set'}" for name, is_set in found.keys.items())
    yield "plugins", ", ".join(dict.fromkeys(found.plugins))
    for broken in found.broken or ("nothing",):
        yield "broken", broken
