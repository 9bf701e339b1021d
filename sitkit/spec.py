"""A SPEC names a plugin's part on the command line: ``name[:argument][,key=value]...``, as lm-eval users know it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sitkit.errors import SpecError, suggestion

T = TypeVar("T")

LM_EVAL = "lm-eval:"
"""What stands before the name of an lm-eval task among what is scored."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PLACE = re.compile(r"[A-Za-z0-9_.~-]*(/[A-Za-z0-9_.-]+)+")
_KEY = r"[A-Za-z_][A-Za-z0-9_]*="
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Spec:
    """A parsed SPEC: ``hf:org/model,quantize=nf4`` has name "hf", argument "org/model", options {"quantize": "nf4"}."""

    name: str
    argument: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        head = self.name if self.argument is None else f"{self.name}:{self.argument}"
        return ",".join([head, *(f"{key}={value}" for key, value in self.options.items())])

    def require_argument(self, meaning: str) -> str:
        """Return the argument. Raises `SpecError` if there is none, saying what it means."""
        if not self.argument:
            raise SpecError(f"{self.name!r} needs {meaning} after a colon: {self.name}:…")
        return self.argument

    def refuse_argument(self) -> None:
        """Raise `SpecError` if there is an argument, for parts that take none."""
        if self.argument is not None:
            raise SpecError(f"{self.name!r} takes no argument, got {self.argument!r}")

    def parse_options(self, known: Mapping[str, Callable[[str], object]]) -> dict[str, object]:
        """Return the options given, each read by the function ``known`` has for it.

        Raises `SpecError` for an unknown option (the nearest is suggested) or a value its function refuses
        with a ValueError.
        """
        parsed: dict[str, object] = {}
        for key, text in self.options.items():
            if not known:
                raise SpecError(f"{self.name!r} takes no options, got {key}={text}")
            if key not in known:
                raise SpecError(f"{self.name!r} has no option {key!r}{suggestion(key, known)}")
            try:
                parsed[key] = known[key](text)
                if isinstance(parsed[key], int | float) and not text.isascii():
                    # Python reads the digits of every script.
                    raise ValueError("expected a number in the digits 0 to 9")
            except ValueError as error:
                raise SpecError(f"{self.name!r}: option {key}={text}: {error}") from error
        return parsed


def is_name(text: object) -> bool:
    """Tell whether a SPEC can start with this text, so that a user can type it."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_spec(text: str) -> bool:
    """Tell whether a text is more than a name: a SPEC with an argument or options."""
    return ":" in text or "," in text


def split_specs(text: str) -> list[str]:
    """Return the SPECs of a list with commas; a comma before ``key=`` belongs to the SPEC before it."""
    closed = re.sub(rf",\s+(?={_KEY})", ",", text)
    return [part.strip() for part in re.split(rf",(?!{_KEY})", closed) if part.strip()]


def parse_spec(text: str) -> Spec:
    """Parse a SPEC. Commas end an argument only where ``key=`` follows, so paths may hold commas and colons.

    Raises `SpecError` with the part that is wrong.
    """
    head, *rest = re.split(rf",(?={_KEY})", text.strip())
    name, colon, argument = head.partition(":")
    if not _NAME.fullmatch(name):
        if _PLACE.fullmatch(name):
            questions = name.endswith((".jsonl", ".json", ".csv", ".parquet"))
            means = f"questions of a file are file:{text}" if questions else f"a model is hf:{text}"
            raise SpecError(f"{text!r} is not a valid SPEC: {means}")
        raise SpecError(f"{text!r} is not a valid SPEC: expected name[:argument][,key=value]..., got the name {name!r}")
    if colon and not argument:
        raise SpecError(f"{text!r} is not a valid SPEC: nothing follows the colon")
    if not colon and "," in head:
        raise SpecError(f"{text!r} is not a valid SPEC: {head.partition(',')[2]!r} is not key=value")
    options: dict[str, str] = {}
    for part in rest:
        key, _, value = part.partition("=")
        if key in options:
            raise SpecError(f"{text!r} is not a valid SPEC: {key!r} is given twice")
        options[key] = value
    return Spec(name, argument if colon else None, options)


def boolean(text: str) -> bool:
    """Read true/false, yes/no, on/off, 1/0. Raises ValueError otherwise."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("expected true or false")


def number(
    *, low: float | None = None, above: float | None = None, high: float | None = None
) -> Callable[[str], float]:
    """Return a reader that takes finite numbers of at least ``low``, above ``above``, and up to ``high``."""
    words = [f"of at least {low:g}"] if low is not None else []
    words += [f"above {above:g}"] if above is not None else []
    words += [f"up to {high:g}"] if high is not None else []
    expected = f"expected a number {' and '.join(words)}".strip()

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(expected) from error
        if (
            not math.isfinite(value)
            or (low is not None and value < low)
            or (above is not None and value <= above)
            or (high is not None and value > high)
        ):
            raise ValueError(expected)
        return value

    return read


def temperature(text: str) -> float:
    """Read a teacher's own sampling temperature, 0 (greedy) to 10. Raises ValueError otherwise."""
    return number(low=0, high=10)(text)


def top_p(text: str) -> float:
    """Read a teacher's own top_p, a probability above 0. Raises ValueError otherwise."""
    return number(above=0, high=1)(text)


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader that takes one of these words only."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return read
