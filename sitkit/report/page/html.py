"""HTML that cannot be broken out of: elements whose children are escaped unless they are elements themselves."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable

from sitkit.types import Json

_VOID = frozenset({"meta", "input", "br", "hr", "link"})
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters without a look of their own that change what a reader sees, or that no UTF-8 file can hold."""

_FOR_SCRIPT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def visible(text: str) -> str:
    """Return the text with controls, direction marks and lone surrogates written out, as in ``‹U+202E›``."""
    return _UNSEEN.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text)


def escape(value: object) -> Html:
    """Return a value as text of an element or of a quoted attribute; HTML stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(visible(str(value)), quote=True))


def el(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. An attribute that is None or False is left out; ``class_`` is class, ``data_x`` is data-x.

    Raises ValueError for a name that is none.
    """
    parts = [_checked(name)]
    for key, value in attributes.items():
        if value is not None and value is not False:
            label = _checked(key.rstrip("_").replace("_", "-"))
            parts.append(label if value is True else f'{label}="{escape(value)}"')
    opening = f"<{' '.join(parts)}>"
    return Html(opening if name in _VOID else f"{opening}{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Return the children after one another; None and False are nothing."""
    return Html("".join(escape(child) for child in children if child is not None and child is not False))


def data(value: Json) -> Html:
    """Return JSON for the inside of a script element: ASCII, without a character that could end it or a string."""
    return Html(json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_FOR_SCRIPT))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element or attribute")
    return name
