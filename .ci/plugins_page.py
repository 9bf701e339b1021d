"""Write docs/plugins.md: what comes with sitkit through its hooks, with options, from the code. Run by ``make api``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sitkit.part_options import part_options
from sitkit.registry import Registered, Registry, load_plugins

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


def page() -> str:
    """Return the page."""
    registry = load_plugins()
    parts = [HEAD]
    for kind, (title, sentence) in KINDS.items():
        found = [part for part in registry.components.values() if part.kind == kind and _ours(part)]
        parts += [f"## {title}\n\n{sentence}\n", _summaries(found)]
        if kind not in ("benchmark", "executor"):
            parts += [_options(part) for part in found]
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


def _options(part: Registered) -> str:
    found = part_options(part)
    lines = [f"### {part.kind.capitalize()} {part.name}", ""]
    if found.base:
        return "\n".join([*lines, f"Options: the same as those of `{found.base}`.", ""])
    if not found.options:
        return ""
    if found.argument:
        lines += [f"After the colon: {found.argument}.", ""]
    lines += ["| option | takes | default |", "|---|---|---|"]
    for option in found.options:
        takes = "as `hf` takes it" if option.reader is str else _cell(option.takes)
        lines.append(f"| `{option.name}` | {takes} | {f'`{option.default}`' if option.default else ''} |")
    if part.name in EXPLAINED:
        lines += ["", f"What they do: [{EXPLAINED[part.name].partition('#')[0]}]({EXPLAINED[part.name]})."]
    return "\n".join([*lines, ""])


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
