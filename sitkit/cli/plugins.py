"""``sitkit plugins``."""

from __future__ import annotations

import json

import click

from sitkit.cli.options import debug_option
from sitkit.registry import Registry


@click.command(short_help="List everything that is plugged in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
@click.pass_obj
def plugins(registry: Registry, as_json: bool) -> None:
    """List everything that is plugged in: kind, name, one line, distribution and version; and what is broken."""
    parts = [
        {
            "kind": part.kind,
            "name": part.name,
            "summary": part.summary,
            "distribution": part.provider.distribution,
            "version": part.provider.version,
        }
        for part in registry.components.values()
    ]
    parts += [
        {
            "kind": "command",
            "name": command.name,
            "summary": command.summary,
            "distribution": command.provider.distribution,
            "version": command.provider.version,
        }
        for command in registry.commands.values()
    ]
    if as_json:
        broken = [{"distribution": one.distribution, "hook": one.hook, "reason": one.reason} for one in registry.broken]
        click.echo(json.dumps({"plugins": parts, "broken": broken}, indent=1, ensure_ascii=False))
        return
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    out = console()
    rows = tuple(
        (part["kind"], part["name"], part["summary"], f"{part['distribution']} {part['version']}") for part in parts
    )
    show_table(out, Table("Plugins", ("kind", "name", "what it is", "from"), rows))
    for one in registry.broken:
        click.echo(f"broken: {one}", err=True)
