"""For whoever writes a plugin: ``sitkit new-plugin`` and ``sitkit check-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option
from sitkit.cli.terminal import echo, echo_json
from sitkit.errors import UsageError
from sitkit.registry import Registry

if TYPE_CHECKING:
    from sitkit.testing.plugin import Check
    from sitkit.types import Json


@click.command(name="check-plugin", short_help="Check a plugin.")
@click.argument("plugin", metavar="DIST|FILE")
@click.option("--spec", "specs", metavar="SPEC", multiple=True, help="Makes a part that needs an argument; repeat.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def check_plugin(plugin: str, specs: tuple[str, ...], as_json: bool) -> int:
    """Check a plugin: an installed distribution by its name, or a file by its path. Exits with 1 if anything is wrong.

    Every part is made and used as a run does: teachers in both promptings, strategies on a grid of candidates,
    benchmarks and their lm-eval tasks, students with one step of training; then ten questions go through all of it,
    with stubs for what it lacks. Seconds; no model is loaded but the plugin's own, and whoever costs money is not
    asked. The same checks are functions for tests: sitkit.testing.
    """
    from sitkit.testing.plugin import plugin_checks

    found = []
    for check in plugin_checks(plugin, specs):
        found.append(check)
        if not as_json:
            _show(check)
    faults = sum(finding.fault for check in found for finding in check.findings)
    if as_json:
        echo_json([_plain(check) for check in found])
    else:
        echo("sound" if not faults else f"{faults} fault{'' if faults == 1 else 's'}")
    return 1 if faults else 0


def _show(check: Check) -> None:
    echo(f"{'ok   ' if check.passed else 'WRONG'} {check.title} ({check.seconds:.1f} s)")
    for finding in check.findings:
        echo(f"      {'' if finding.fault else 'note: '}{finding}")


def _plain(check: Check) -> Json:
    findings = [{"text": one.text, "where": one.where, "fault": one.fault} for one in check.findings]
    return {"check": check.title, "passed": check.passed, "seconds": round(check.seconds, 3), "findings": findings}


@click.command(name="new-plugin", short_help="Begin a plugin.")
@click.argument("name")
@click.option("--teacher", is_flag=True, help="With a teacher.")
@click.option("--strategy", is_flag=True, help="With a strategy.")
@click.option("--benchmark", is_flag=True, help="With a benchmark and its lm-eval tasks.")
@click.option("--student", is_flag=True, help="With a student.")
@click.option("--command", is_flag=True, help="With a command.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Where its folder is made.  [default: the current folder]",
)
@debug_option
@click.pass_obj
def new_plugin(registry: Registry, /, name: str, directory: Path, **wanted: bool) -> None:
    """Begin the plugin NAME: the folder sitkit-NAME, a distribution with the parts asked for (default: a strategy).

    It installs, and passes its own tests and `sitkit check-plugin`, before anything is changed. Each part is a small
    working one, with the fields explained where they are used; its README says how to go on.
    """
    from sitkit.new_plugin import PARTS, run_command, write_plugin

    parts = [part for part in PARTS if wanted[part]] or ["strategy"]
    short = name.removeprefix("sitkit-")
    for part in parts:
        taken = registry.commands.get(short) if part == "command" else registry.components.get((part, short))
        if taken is not None:
            raise UsageError(f"the {part} name {short!r} is taken by {taken.provider.distribution}; choose another")
    folder = write_plugin(name, parts, directory.absolute())
    echo(f"{folder}: {', '.join(f'a {part}' for part in parts)}. To go on:")
    echo(f'  pip install -e "{folder}[dev]"')
    echo(f"  sitkit check-plugin {folder.name}")
    echo(f"  {run_command(short, parts)}")
