"""Write a plugin to begin with: a distribution that installs, and passes its own tests and ``sitkit check-plugin``."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sitkit.errors import UsageError
from sitkit.types import PROMPTINGS

PARTS = ("teacher", "strategy", "benchmark", "student", "command")
"""What a plugin may be begun with."""

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def write_plugin(name: str, parts: Sequence[str], parent: Path) -> Path:
    """Write the distribution sitkit-NAME with these parts of `PARTS` below a folder; return its folder.

    Raises `UsageError` for a name that a distribution, a module and a SPEC cannot all have, and where the folder is.
    """
    name = name.removeprefix("sitkit-")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is not a name for a plugin: small letters and digits, words joined by -")
    folder = parent / f"sitkit-{name}"
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name or folder")
    identifier = name.replace("-", "_")
    values = _values(name, identifier, parts)
    for place, template, more in _files(identifier, parts):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_rendered(template, {**values, **more}), encoding="utf-8")
    return folder


def _files(identifier: str, parts: Sequence[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each file's place, its template, and what only that file is told."""
    source = f"src/sitkit_{identifier}"
    yield "pyproject.toml", "pyproject.toml.jinja", {}
    yield "README.md", "README.md.jinja", {}
    yield f"tests/test_{identifier}.py", "test.py.jinja", {}
    yield f"{source}/__init__.py", "__init__.py.jinja", {}
    for part in parts:
        yield f"{source}/{part}.py", f"{part}.py.jinja", {}
    if "benchmark" in parts:
        yield f"{source}/tasks/_{identifier}.inc", "tasks/task.inc.jinja", {}
        for prompting in PROMPTINGS:
            yield f"{source}/tasks/{identifier}_{prompting}.yaml", "tasks/task.yaml.jinja", {"prompting": prompting}


def _values(name: str, identifier: str, parts: Sequence[str]) -> dict[str, object]:
    factories = [part for part in parts if part != "command"]
    helpers = {
        "teacher": ("check_teacher", "context", "questions"),
        "student": ("check_student", "context"),
        "strategy": ("candidates", "check_strategy", "context"),
        "benchmark": ("check_benchmark", "context"),
        "command": (),
    }
    protocols = [part.capitalize() for part in factories]
    return {
        **{part: part in parts for part in PARTS},
        "name": name,
        "distribution": f"sitkit-{name}",
        "package": f"sitkit_{identifier}",
        "identifier": identifier,
        "task": identifier,
        "title": "".join(word.capitalize() for word in identifier.split("_")),
        "parts": [f"a {part}" for part in parts],
        "factories": factories,
        "imports": sorted(f"{identifier}_{part}" for part in factories),
        "helpers": sorted({helper for part in parts for helper in helpers[part]}),
        "types": sorted([*protocols, *(f"{protocol}Factory" for protocol in protocols), "Context"]),
        "test_types": sorted(
            [*(["Generation"] if "teacher" in parts else []), *(["PreferencePair"] if "strategy" in parts else [])]
        ),
        "registers": [*(["Register"] if factories else []), *(["RegisterCommand"] if "command" in parts else [])],
        "run": run_command(name, parts),
    }


def run_command(name: str, parts: Sequence[str]) -> str:
    """Return the command line that tries the parts."""
    if set(parts) == {"command"}:
        return f"sitkit {name}"
    flags = {"teacher": "--teacher", "strategy": "--strategy", "benchmark": "--train-on", "student": "--student"}
    words = [f"{flags[part]} {name}" for part in parts if part != "command"]
    if "benchmark" in parts and "teacher" not in parts:
        words.append("--teacher gold")
    return " ".join(["sitkit run", *words, "--limit 20 --test-limit 10 --workspace try"])


def _rendered(template: str, values: dict[str, object]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # What is written is source text, not a page.
        autoescape=False,
    )
    return environment.get_template(template).render(values)
