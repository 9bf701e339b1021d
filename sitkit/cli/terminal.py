"""The one way to the terminal: whatever is printed is cleaned of what a terminal would act on."""

from __future__ import annotations

import json

import click

from sitkit.plain_text import json_visible, message_line, visible
from sitkit.types import Json


def echo(text: object = "", *, err: bool = False) -> None:
    """Print lines to standard output or error."""
    click.echo(visible(str(text)), err=err)


def echo_message(text: str) -> None:
    """Print one line to standard error: an error or a note."""
    click.echo(message_line(text), err=True)


def echo_json(value: Json) -> None:
    """Print a value as JSON."""
    echo_json_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def echo_json_text(text: str) -> None:
    """Print what is JSON already; its values stay what they are."""
    click.echo(json_visible(text), nl=False)
