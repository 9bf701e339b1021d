"""``sitkit settings``."""

from __future__ import annotations

import dataclasses
import json

import click

from sitkit.cli.options import debug_option


@click.command(short_help="List the settings of --set.")
@click.argument("stages", metavar="[STAGE]...", nargs=-1)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a recipe file instead.")
@debug_option
def settings(stages: tuple[str, ...], schema: bool) -> None:
    """List the settings of each STAGE (default: all) with the paper's value, for: sitkit run --set STAGE.KEY=VALUE.

    What a student's model folder recommends stands above these, --set above both. An editor that knows JSON schemas
    (--schema) completes and checks a recipe as it is written.
    """
    from sitkit.cli.show import console, show_table
    from sitkit.errors import UnknownNameError
    from sitkit.report.tables import Table
    from sitkit.settings import STAGE_SETTINGS, setting_types
    from sitkit.validation import description

    for stage in stages:
        if stage not in STAGE_SETTINGS:
            raise UnknownNameError("stage", stage, STAGE_SETTINGS)
    if schema:
        from sitkit.recipe import recipe_schema

        click.echo(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
        return
    out = console()
    for stage in stages or STAGE_SETTINGS:
        types = setting_types(stage)
        rows = tuple(
            (field.name, "-" if field.default is None else str(field.default), description(types[field.name]))
            for field in dataclasses.fields(STAGE_SETTINGS[stage])
        )
        show_table(out, Table(stage, ("key", "default", "what it is"), rows))
