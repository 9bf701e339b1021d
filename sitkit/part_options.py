"""What a SPEC may say after a part's name, asked of its factory: what follows the colon, each option, its default."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sitkit.errors import SitkitError
from sitkit.registry import Registered
from sitkit.spec import Spec
from sitkit.types import Context

_ANY_ARGUMENT = "hf"
"""What stands after the colon while a factory is asked; no file or model of this name is read before it is stopped."""

_PLAIN: Mapping[object, str] = {int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Option:
    """An option of a SPEC: what it takes in words, its default as text ("" where there is none), its choices."""

    name: str
    takes: str
    default: str
    choices: tuple[str, ...]
    reader: Callable[[str], object] = field(repr=False, compare=False)


@dataclass(frozen=True)
class PartOptions:
    """``argument``: what follows the colon, in words (None: nothing does). ``base``: whose options it takes as well."""

    argument: str | None
    options: tuple[Option, ...]
    base: str | None = None


class _Stop(SitkitError):
    """A factory has told all that was asked."""


@dataclass
class _Answer:
    argument: str | None = None
    readers: Mapping[str, Callable[[str], object]] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    base: str | None = None


@dataclass(frozen=True)
class _AskingSpec(Spec):
    """A SPEC that notes what a factory asks of it, and stops the factory once that is all."""

    answer: _Answer = field(default_factory=_Answer, compare=False)

    def require_argument(self, meaning: str) -> str:
        self.answer.argument = meaning
        if self.answer.readers is not None:
            raise _Stop
        return _ANY_ARGUMENT

    def parse_options(self, known: Mapping[str, Callable[[str], object]]) -> dict[str, object]:
        self.answer.readers = known
        self.answer.defaults = _declared(sys._getframe(1).f_globals, known)
        if self.answer.argument is not None:
            raise _Stop
        return {}


def part_options(part: Registered) -> PartOptions:
    """Return what a part's SPEC may say; of an executor, which has none, nothing.

    The factory is called with a SPEC that notes what is asked of it. Defaults are those of the dataclass of options in
    the module that reads them, or the attributes of what the factory makes.
    """
    answer, made = _Answer(), None
    if part.kind == "executor":
        return PartOptions(None, ())

    def handed_on(spec: Spec) -> Any:
        answer.base = spec.name
        raise _Stop

    context = Context(teacher=handed_on, student=handed_on)
    try:
        made = part.factory(_AskingSpec(part.name, answer=answer), context)
    except _Stop:
        pass
    except Exception:
        # A factory that cannot make its part without more has told what it asked for until then.
        pass
    readers = answer.readers or {}
    options = tuple(
        _option(name, reader, answer.defaults.get(name, getattr(made, name, None))) for name, reader in readers.items()
    )
    base = answer.base if answer.readers is None else None
    return PartOptions(part.argument or answer.argument, options, base)


def _option(name: str, reader: Callable[[str], object], default: object) -> Option:
    takes = _takes(reader)
    choices = tuple(takes.removeprefix("one of ").split(", ")) if takes.startswith("one of ") else ()
    known = isinstance(default, str | int | float)
    shown = str(default).lower() if isinstance(default, bool) else str(default) if known else ""
    return Option(name, takes, shown, choices, reader)


def _takes(reader: Callable[[str], object]) -> str:
    """Return what a reader says it expects, asked with a text that nothing but free text is."""
    if reader in _PLAIN:
        return _PLAIN[reader]
    try:
        reader("\0")
    except ValueError as error:
        return str(error).removeprefix("expected ")
    except Exception:
        return "what its plugin says"
    return "text"


def _declared(names: Mapping[str, Any], known: Mapping[str, object]) -> dict[str, object]:
    """Return the defaults of the dataclass among these names that has most of the options for fields."""
    found: dict[str, object] = {}
    for value in names.values():
        if isinstance(value, type) and dataclasses.is_dataclass(value) and not issubclass(value, Spec):
            defaults = {
                one.name: one.default
                for one in dataclasses.fields(value)
                if one.name in known and one.default is not dataclasses.MISSING
            }
            found = max(found, defaults, key=len)
    return found
