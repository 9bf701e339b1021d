"""What is looked at as plugins are imported: which of their hooks can be called, and what they print."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import io
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, cast

import pluggy

from sitkit import hookspecs
from sitkit.errors import suggestion
from sitkit.providers import Provider

_DEFINED = re.compile(r"^(?:async\s+)?def\s+(sitkit_\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Broken:
    """A plugin, or a part of one, that cannot be used, and why; ``dropped`` are hooks of it that nobody will call."""

    distribution: str
    hook: str
    reason: str
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.distribution}: {self.hook}: {self.reason}"


class _Implemented:
    """The hooks of one plugin that can be called, as pluggy registers them."""


def implemented(manager: pluggy.PluginManager, provider: Provider, plugin: Any) -> tuple[object, list[Broken]]:
    """Return an object with the hooks of a plugin that can be called, to be registered in its place, and the others."""
    sound, broken = _Implemented(), list[Broken]()
    known = hook_names(manager)
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            function = inspect.getattr_static(plugin, name, None)
            marked = hasattr(function, f"{hookspecs.PROJECT}_spec")
            if name in known and inspect.isfunction(function) and not marked:
                fault = "is not marked with @hookimpl, so it is not called"
                broken.append(Broken(provider.distribution, name, fault, (name,)))
            continue
        hook = options.get("specname") or name
        found = _hook_fault(getattr(plugin, name), hook, known)
        if found is None:
            setattr(sound, name, getattr(plugin, name))
        else:
            broken.append(Broken(provider.distribution, hook, found, (hook,)))
    return sound, broken


def _hook_fault(function: Callable[..., Any], hook: str, known: Sequence[str]) -> str | None:
    if hook not in known:
        return f"sitkit has no such hook{suggestion(hook, known)}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is an async function, which nobody awaits"
    returned = inspect.signature(getattr(hookspecs, hook)).return_annotation
    if returned == "None" and inspect.isgeneratorfunction(function):
        return "is a generator function, of which nothing would run (hook wrappers are not called either)"
    given = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    taken = inspect.signature(function).parameters
    extra = [name for name in taken if name not in given]
    if extra:
        return f"takes {', '.join(extra)}, which sitkit does not give it: it gives {', '.join(given) or 'nothing'}"
    if "register" in given and "register" not in taken:
        return "does not take register, so it can register nothing"
    return None


def import_file(path: Path) -> tuple[ModuleType, str]:
    """Import a plugin that is one file; return the module and the sha256 of what was imported.

    What was imported before, from the same place with the same content, is the same module. Raises what importing it
    raises, and OSError.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"sitkit_file_{hashlib.sha256(f'{path}|{digest}'.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise ImportError(f"{path.name} is not a Python file")
        # By hand, so that the digest is that of the very text that runs, and nothing is written beside the file.
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            exec(compile(content, str(path), "exec"), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name], digest


def line_of(error: BaseException, path: Path) -> str:
    """Return ``path:line`` of the last line of a file that an exception went through, or the path alone."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return str(path) if line is None else f"{path}:{line}"


def defined_hooks(point: EntryPoint) -> tuple[str, ...]:
    """Return the hooks that the source of a plugin defines which could not be imported; none if it is not found."""
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(point.module)
        if spec is not None and spec.origin is not None:
            return tuple(dict.fromkeys(_DEFINED.findall(Path(spec.origin).read_text(encoding="utf-8"))))
    return ()


class _Heard(io.StringIO):
    """Keeps what this thread prints; other threads are heard as before."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        """Keep the text, unless it comes from another thread."""
        return super().write(text) if threading.get_ident() == self._thread else self._stream.write(text)


@contextlib.contextmanager
def noted(notes: list[str], what: str) -> Iterator[None]:
    """Keep what is printed inside off the terminal, where it would spoil JSON, and note that it was."""
    heard = [_Heard(sys.stdout), _Heard(sys.stderr)]
    try:
        with contextlib.redirect_stdout(cast(TextIO, heard[0])), contextlib.redirect_stderr(cast(TextIO, heard[1])):
            yield
    finally:
        printed = " ".join(" ".join(stream.getvalue() for stream in heard).split())
        if printed:
            notes.append(f"{what}: {printed[:200]}")


def hook_names(manager: pluggy.PluginManager) -> list[str]:
    """Return the names of the hooks there are."""
    return [name for name, caller in vars(manager.hook).items() if caller.has_spec()]
