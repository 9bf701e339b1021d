"""Write docs/plugins.md: what comes with sitkit through its hooks, with options, from the code. Run by ``make api``."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import click

from sitkit.errors import SitkitError
from sitkit.registry import Registered, Registry, load_plugins
from sitkit.spec import Spec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "plugins.md"

HEAD = """\
# Plugins and their options

Everything that comes with sitkit through its hooks. `make api` writes this page from the code; `sitkit plugins` lists
what your installation has. A SPEC is `name[:argument][,option=value]...`; [plugin hooks](plugin-hooks.md) says how to
add to the list.
"""

KINDS = {
    "teacher": ("Teachers", "`--teacher SPEC`: who answers the training questions step by step."),
    "student": ("Students", "`--student SPEC`: the model that is taught, refined and scored."),
    "strategy": ("Strategies", "`--strategy SPEC`: which answers become preference pairs, and what is optimised."),
    "benchmark": (
        "Benchmarks",
        "`--train-on` and `--eval-on`: questions; in brackets domain, train and test questions.",
    ),
    "executor": ("Executors", "`--executor NAME`: where the stages of a run are made."),
}

EXPLAINED = {
    "hf": "students.md#options",
    "openai": "teachers.md#options",
    "lm-eval": "lm-eval.md",
    "vllm": "vllm.md",
    "gold": "benchmarks.md",
    "file": "teachers.md",
    "tiny": "embedded-world.md",
}
"""Component -> the page that says what each of its options does."""


class Asked(SitkitError):
    """A factory has read its options: ``readers`` by name, and the defaults it has for them."""

    def __init__(self, readers: Mapping[str, Callable[[str], object]], defaults: Mapping[str, object]) -> None:
        self.readers, self.defaults = readers, defaults


def page() -> str:
    """Return the page."""
    registry = load_plugins()
    parts = [HEAD]
    for kind, (title, sentence) in KINDS.items():
        found = [part for part in registry.components.values() if part.kind == kind and _ours(part)]
        parts += [f"## {title}\n\n{sentence}\n", _summaries(found)]
        if kind not in ("benchmark", "executor"):
            parts += [_options(registry, part) for part in found]
    parts.append("## Commands\n\nEach says the same with `--help`; all take `--debug` and `--help`.\n")
    for name, command in registry.commands.items():
        if command.provider.distribution == "sitkit":
            parts += _command(command.load(), f"sitkit {name}", registry)
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def _ours(part: Registered) -> bool:
    return part.provider.distribution == "sitkit"


def _summaries(parts: list[Registered]) -> str:
    aliases: dict[str, list[str]] = {part.first: [] for part in parts}
    for part in parts:
        if part.name != part.first:
            aliases[part.first].append(part.name)
    rows = []
    for part in parts:
        if part.name == part.first:
            names = ", ".join(f"`{name}`" for name in [part.name, *aliases[part.name]])
            rows.append(f"| {names} | {_cell(part.summary)} |")
    return "\n".join(["| name | what it is |", "|---|---|", *rows, ""])


def _options(registry: Registry, part: Registered) -> str:
    argument: list[str] = []
    try:
        with _watched(argument):
            part.factory(Spec(part.name, None, {}), registry.context())
    except Asked as asked:
        readers, defaults = asked.readers, asked.defaults
    if not readers:
        return ""
    lines = [f"### {part.kind.capitalize()} {part.name}", ""]
    if argument and argument[0].startswith("the same"):
        return "\n".join([*lines, f"Options: {argument[0]}.", ""])
    if argument:
        lines += [f"After the colon: {argument[0]}.", ""]
    lines += ["| option | takes | default |", "|---|---|---|"]
    for name, reader in readers.items():
        default = defaults.get(name)
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        lines.append(f"| `{name}` | {_cell(_takes(reader))} | {shown} |")
    if part.name in EXPLAINED:
        lines += ["", f"What they do: [{EXPLAINED[part.name].partition('#')[0]}]({EXPLAINED[part.name]})."]
    return "\n".join([*lines, ""])


@contextmanager
def _watched(argument: list[str]) -> Iterator[None]:
    """Let a factory read a SPEC that has any argument, and stop it as it reads the options."""

    def parse_options(spec: Spec, known: Mapping[str, Callable[[str], object]]) -> dict[str, object]:
        made = sys._getframe(1).f_globals.get("Options")
        fields = dataclasses.fields(made) if dataclasses.is_dataclass(made) else ()
        missing = dataclasses.MISSING
        raise Asked(known, {field.name: field.default for field in fields if field.default is not missing})

    def require_argument(spec: Spec, meaning: str) -> str:
        # A SPEC that has an argument was made by a factory that hands its options on.
        argument.append(f"the same as those of `{spec.name}`" if spec.argument else meaning)
        return spec.argument or "hf"

    with mock.patch.multiple(Spec, parse_options=parse_options, require_argument=require_argument):
        yield


def _takes(reader: Callable[[str], object]) -> str:
    """Return what a reader says it expects, asked with a text that nothing but free text is."""
    if reader is str:
        return "as `hf` takes it"
    try:
        reader("\0")
    except ValueError as error:
        return str(error).removeprefix("expected ")
    return "text"


def _command(command: object, title: str, registry: Registry) -> Iterator[str]:
    if not isinstance(command, click.Command):
        raise TypeError(f"{title} is not a click command")
    context = click.Context(command, info_name=title, obj=registry, help_option_names=["-h", "--help"])
    lines = [f"### {title}", "", f"`{title} {' '.join(command.collect_usage_pieces(context))}`", ""]
    lines += [_text(command.help or ""), ""]
    records = [
        param.get_help_record(context)
        for param in command.get_params(context)
        if isinstance(param, click.Option) and not {"--debug", "--help"} & set(param.opts)
    ]
    if any(records):
        lines += ["| option | what it does |", "|---|---|"]
        lines += [f"| `{_cell(record[0])}` | {_cell(record[1])} |" for record in records if record]
    yield "\n".join([*lines, ""])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, f"{title} {name}", registry)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _text(text: str) -> str:
    return inspect.cleandoc(text).replace("\b", "").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
