"""Write docs/api.md: the public names of sitkit with their docstrings, and the data a run is. Run by ``make api``."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path

import sitkit
from sitkit import api
from sitkit.execution import dry_run
from sitkit.results import model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"

HEAD = """\
# The Python API

Written by `make api` from the docstrings. `import sitkit` offers the names below and nothing else; errors are those of
`sitkit.errors`. [examples/first-run.ipynb](examples/first-run.ipynb) uses all of it.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    parts += [_function(getattr(sitkit, name), f"sitkit.{name}") for name in ("run", "dry_run", "load_run")]
    parts += [
        _class(found, f"sitkit.api.{found.__name__}") for found in (api.RunResults, api.Report, api.LoadedStudent)
    ]
    parts += [_class(found, f"sitkit.execution.dry_run.{found.__name__}") for found in _own(dry_run)]
    parts.append("## The results of a run\n\n" + _text(model.__doc__) + "\n")
    parts += [_class(found, found.__name__) for found in _own(model)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _own(module: object) -> list[type]:
    name = getattr(module, "__name__", "")
    found = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == name]
    return [one for one in found if not one.__name__.startswith("_")]


def _function(function: object, title: str) -> str:
    return f"## `{title}{_signature(function)}`\n\n{_text(inspect.getdoc(function))}\n"


def _class(found: type, title: str) -> str:
    lines = [f"## `{title}`", "", _text(inspect.getdoc(found)), ""]
    if dataclasses.is_dataclass(found):
        lines += ["| field | type |", "|---|---|"]
        lines += [
            f"| `{field.name}` | `{str(field.type).replace('|', chr(92) + '|')}` |"
            for field in dataclasses.fields(found)
        ]
        lines.append("")
    for name, member in vars(found).items():
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        if inspect.isfunction(member):
            lines += [f"### `.{name}{_signature(member)}`", "", _text(inspect.getdoc(member)), ""]
        elif isinstance(member, property):
            lines += [f"### `.{name}`", "", _text(inspect.getdoc(member)), ""]
    return "\n".join(lines)


def _signature(function: object) -> str:
    text = str(inspect.signature(function))  # type: ignore[arg-type]
    return re.sub(r"\((self, )?(self)?", "(", text, count=1).replace("'", "")


def _text(doc: str | None) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(doc or ""))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
