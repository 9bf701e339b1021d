"""Values from outside, checked by msgspec against an annotated type; what a type takes is said in plain words."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from sitkit.spec import boolean

_BELOW = 2**32


def read_value(kind: Any, value: object, *, text: bool = False) -> Any:
    """Return a value in the annotated type; with ``text``, text is read by it ("3" as a number, "none" as None).

    Raises ValueError saying what is expected, for a value of another type or out of the range of its `msgspec.Meta`,
    for a number that is not finite or has more than 32 bits, and for text that cannot be written as UTF-8.
    """
    try:
        read = msgspec.convert(_from_text(kind, value) if text else value, kind, strict=not text)
        # Half of a surrogate pair passes as text until a file is written.
        msgspec.json.encode(read)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"expected {expected(kind, none=text)}") from error
    if isinstance(read, int | float) and not abs(read) < _BELOW:
        raise ValueError(f"expected {expected(kind, none=text)}, below {_BELOW}")
    return read


def _from_text(kind: Any, value: object) -> object:
    """Write a value as msgspec reads it, where sitkit takes more: yes and no, .5, none, and a number as text."""
    plain, optional = _plain(kind)
    if isinstance(value, str):
        if optional and value == "none":
            return None
        if plain is bool:
            return boolean(value)
        if plain in (int, float) and not value.isascii():
            # Python reads the digits of every script.
            raise ValueError
        return float(value) if plain is float else value
    if plain is bool and not isinstance(value, bool | None):
        raise ValueError
    return str(value) if plain is str and isinstance(value, int | float) and not isinstance(value, bool) else value


def expected(kind: Any, *, none: bool = False) -> str:
    """Return in words what an annotated type takes, such as "a whole number of at least 1"; with ``none``, None too."""
    plain, optional = _plain(kind)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin is Literal:
        words = f"one of {', '.join(arguments)}"
    elif origin is tuple:
        words = f"{expected(arguments[0])}, or a list of such"
    elif plain in _WORDS:
        words = _WORDS[plain] + _range(kind)
    else:
        words = "key: value lines"
    return f"{words}, or none" if optional and none else words


_WORDS: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _range(kind: Any) -> str:
    low, above, high = (_meta(kind, name) for name in ("ge", "gt", "le"))
    if low is not None and high is not None:
        return f" between {low} and {high}"
    bounds = (("of at least", low), ("above", above), ("of at most" if above is None else "and at most", high))
    return "".join(f" {words} {bound}" for words, bound in bounds if bound is not None)


def description(kind: Any) -> str:
    """Return the sentence that an annotated type is documented by; "" if there is none."""
    return str(_meta(kind, "description") or "")


def extra(kind: Any, name: str, default: str) -> str:
    """Return what an annotated type's `msgspec.Meta` says beside, under ``extra``."""
    return str((_meta(kind, "extra") or {}).get(name, default))


def _meta(kind: Any, name: str) -> Any:
    """Return what the outermost annotation that says it says, None if none does."""
    found = None
    for layer in _layers(kind):
        for entry in getattr(layer, "__metadata__", ()):
            if found is None and isinstance(entry, msgspec.Meta):
                found = getattr(entry, name)
    return found


def _plain(kind: Any) -> tuple[Any, bool]:
    """Return the type without annotations and without None, and whether None may stand in its place."""
    layers = _layers(kind)
    return layers[-1], any(typing.get_origin(layer) in (types.UnionType, typing.Union) for layer in layers)


def _layers(kind: Any) -> Sequence[Any]:
    """Return an annotated or optional type and all that it wraps, from the outside in."""
    layers = [kind]
    while True:
        origin = typing.get_origin(layers[-1])
        if origin is Annotated:
            layers.append(layers[-1].__origin__)
        elif origin in (types.UnionType, typing.Union):
            layers += [part for part in typing.get_args(layers[-1]) if part is not type(None)][:1]
        else:
            return layers


def annotated_fields(kind: type) -> dict[str, Any]:
    """Return the annotated type of every field of a dataclass, by name."""
    return typing.get_type_hints(kind, include_extras=True)


def shown(value: object, length: int = 80, *, quoted: bool = False) -> str:
    """Return a value as one short line, for a message; text in quotes if so wished."""
    try:
        text = value if isinstance(value, str) and not quoted else repr(value)
    except (ValueError, RecursionError):
        text = "a value too long to print"
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"
