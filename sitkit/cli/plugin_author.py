"""What who writes a plugin needs: ``sitkit check-plugin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sitkit.cli.options import debug_option
from sitkit.cli.terminal import echo, echo_json

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
