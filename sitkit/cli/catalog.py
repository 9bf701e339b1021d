"""What there is to choose from: ``sitkit plugins``, ``sitkit settings``, ``sitkit tasks``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from sitkit.cli.options import debug_option, names_of, plugin_option
from sitkit.cli.terminal import echo, echo_json, echo_message
from sitkit.errors import UnknownNameError
from sitkit.plugin_import import Broken
from sitkit.providers import Provider
from sitkit.registry import KINDS, Registered, Registry
from sitkit.types import Json


@click.command(short_help="List everything that is plugged in.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=names_of(*KINDS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
@debug_option
@click.pass_obj
def plugins(registry: Registry, names: tuple[str, ...], as_json: bool, plugins: tuple[str, ...]) -> int:
    """List everything that is plugged in: kind, name, one line, distribution and version; the hooks of each
    distribution; and what is broken, its lm-eval tasks included. Exits with 1 if anything is.

    With NAME: what may follow that name in a SPEC, each option with what it takes and its default.
    """
    registry = registry.with_files(plugins)
    if names:
        _show_parts(registry, names, as_json=as_json)
        return 0
    parts: list[dict[str, Any]] = [
        {
            "kind": part.kind,
            "name": part.name,
            "summary": part.summary,
            "distribution": part.provider.distribution,
            "version": part.provider.version,
            "aliases": registry.aliases(part),
        }
        for part in registry.components.values()
        if part.name == part.first
    ]
    parts += [
        {
            "kind": "command",
            "name": command.name,
            "summary": command.summary,
            "distribution": command.provider.distribution,
            "version": command.provider.version,
            "aliases": [],
        }
        for command in registry.commands.values()
    ]
    broken = [*registry.broken, *_broken_tasks(registry)]
    if as_json:
        found = {
            "plugins": parts,
            "hooks": [
                {**provider.as_json(), "installed": _installed(provider), "hooks": hooks}
                for provider, hooks in registry.hooks().items()
            ],
            "broken": [
                {"distribution": one.distribution, "hook": one.hook, "reason": one.reason, "dropped": one.dropped}
                for one in broken
            ],
            "notes": registry.notes,
        }
        echo_json(found)
        return 1 if broken else 0
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    out = console()
    rows = tuple(
        (
            part["kind"],
            ", ".join([part["name"], *part["aliases"]]),
            part["summary"],
            f"{part['distribution']} {part['version']}",
        )
        for part in parts
    )
    show_table(out, Table("Plugins", ("kind", "name", "what it is", "from"), rows))
    hooks = tuple(
        (provider.distribution, provider.version, ", ".join(names), _installed(provider))
        for provider, names in registry.hooks().items()
    )
    show_table(out, Table("Hooks", ("distribution", "version", "hooks", "source"), hooks))
    for note in registry.notes:
        echo_message(f"note: {note}")
    for one in broken:
        echo_message(f"broken: {one}")
    return 1 if broken else 0


def _show_parts(registry: Registry, names: Sequence[str], *, as_json: bool) -> None:
    """Print the page of each part of these names, of whatever kind."""
    parts = []
    for name in names:
        found = [registry.components[kind, name] for kind in KINDS if (kind, name) in registry.components]
        if not found:
            raise UnknownNameError("plugin", name, {known for _, known in registry.components})
        parts += found
    if as_json:
        echo_json([_part(registry, part) for part in parts])
        return
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    for part in parts:
        plain = _part(registry, part)
        echo(f"{part.kind} {', '.join([part.first, *plain['aliases']])}: {part.summary}")
        if plain["argument"]:
            echo(f"  after the colon: {plain['argument']}")
        if plain["base"]:
            echo(f"  options: the same as those of {plain['base']} (sitkit plugins {plain['base']})")
        elif plain["options"]:
            rows = tuple((one["name"], one["takes"], one["default"]) for one in plain["options"])
            show_table(console(), Table("", ("option", "takes", "default"), rows))
        else:
            echo("  no options")
        echo()


def _part(registry: Registry, part: Registered) -> Json:
    from sitkit.part_options import part_options

    found = part_options(part)
    return {
        "kind": part.kind,
        "name": part.first,
        "aliases": registry.aliases(part),
        "summary": part.summary,
        "distribution": part.provider.distribution,
        "version": part.provider.version,
        "argument": found.argument,
        "base": found.base,
        "options": [
            {"name": one.name, "takes": one.takes, "default": one.default, "choices": list(one.choices)}
            for one in found.options
        ],
    }


def _installed(provider: Provider) -> str:
    return "as its version says" if provider.source is None else provider.source.why


def _broken_tasks(registry: Registry) -> list[Broken]:
    from sitkit.harness.folders import broken_files

    return [
        Broken(distribution, "sitkit_task_folders", reason)
        for folder, distribution in registry.task_folders.items()
        for reason in broken_files(folder)
    ]


@click.command(short_help="List the settings of --set.")
@click.argument("stages", metavar="[STAGE]...", nargs=-1)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a recipe file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def settings(stages: tuple[str, ...], schema: bool, as_json: bool) -> None:
    """List the settings of each STAGE (default: all) with the paper's value, for: sitkit run --set STAGE.KEY=VALUE.

    What a student's model folder recommends stands above these, --set above both. An editor that knows JSON schemas
    (--schema) completes and checks a recipe as it is written.
    """
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table
    from sitkit.settings import STAGE_SETTINGS, setting_types
    from sitkit.validation import description

    for stage in stages:
        if stage not in STAGE_SETTINGS:
            raise UnknownNameError("stage", stage, STAGE_SETTINGS)
    if schema:
        from sitkit.recipe import recipe_schema

        echo_json(recipe_schema())
        return
    found: dict[str, list[dict[str, Json]]] = {}
    for stage in stages or STAGE_SETTINGS:
        types = setting_types(stage)
        found[stage] = [
            {
                "key": field.name,
                "default": field.default,
                "description": description(types[field.name]),
                "choices": msgspec.json.schema(types[field.name]).get("enum", []),
            }
            for field in dataclasses.fields(STAGE_SETTINGS[stage])
        ]
    if as_json:
        echo_json(found)
        return
    for stage, settings in found.items():
        rows = tuple(
            (
                one["key"],
                "-" if one["default"] is None else str(one["default"]),
                one["description"] + (f" ({' or '.join(one['choices'])})" if one["choices"] else ""),
            )
            for one in settings
        )
        show_table(console(), Table(stage, ("key", "default", "what it is"), rows))


@click.command(short_help="List the recipes that plugins ship.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
@debug_option
@click.pass_obj
def presets(registry: Registry, name: str | None, as_json: bool, plugins: tuple[str, ...]) -> None:
    """List the recipes that plugins ship, a line each; with NAME, print that one.

    `sitkit run --preset NAME` runs one, with flags on top of it; `preset: NAME` in a recipe goes on from it.
    """
    from sitkit.cli.show import console, show_table
    from sitkit.report.tables import Table

    found = registry.with_files(plugins).presets()
    if name is not None and name not in found:
        raise UnknownNameError("preset", name, found)
    texts = {one: found[one].read_text(encoding="utf-8") for one in ([name] if name else found)}
    if as_json:
        echo_json([{"name": one, "file": str(found[one]), "recipe": text} for one, text in texts.items()])
    elif name:
        echo(texts[name].rstrip("\n"))
    else:
        rows = tuple((one, text.partition("\n")[0].lstrip("# ")) for one, text in texts.items())
        show_table(console(), Table("Presets", ("name", "what it is"), rows))


@click.group(short_help="Find the lm-eval tasks.")
def tasks() -> None:
    """Find the lm-eval tasks of every plugged-in benchmark, for use with plain lm_eval."""


@tasks.command()
@click.argument("benchmark", required=False)
@debug_option
@click.pass_obj
def path(registry: Registry, benchmark: str | None) -> None:
    """Print the folder of the tasks, for: lm_eval --include_path "$(sitkit tasks path)".

    lm_eval takes one folder: sitkit's own, or with BENCHMARK that of whoever provides this benchmark.
    """
    from sitkit.errors import RecipeError

    wanted = "sitkit" if benchmark is None else registry.component("benchmark", benchmark).provider.distribution
    folder = next((folder for folder, distribution in registry.task_folders.items() if distribution == wanted), None)
    if folder is None:
        raise RecipeError(f"{wanted} provides no folder of lm-eval tasks")
    echo(folder)


@tasks.command(name="list")
@debug_option
@click.pass_obj
def list_(registry: Registry) -> None:
    """Print the tasks, one a line: benchmark, prompting, task."""
    from sitkit.components import Components, task_name
    from sitkit.errors import PluginError
    from sitkit.types import PROMPTINGS

    components = Components(registry, None, drop_duplicates=False)
    for name in registry.first_names("benchmark"):
        try:
            tasks = components.benchmark(name)
            named = {prompting: task_name(tasks, prompting) for prompting in PROMPTINGS}
        except PluginError as error:
            echo_message(f"broken: {error}")
            continue
        for prompting, task in named.items():
            echo(f"{name}\t{prompting}\t{task}")
