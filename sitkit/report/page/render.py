"""The page from its templates: every value is escaped, and what cannot be seen is written out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sitkit.plain_text import visible
from sitkit.report.page.content import Section
from sitkit.types import Json

SCRIPTS = ("rows.js", "answers.js", "page.js")

_FOR_SCRIPT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render(name: str, digest: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Return the page.

    Scripts run only if they are the page's own, by their digest: one that came in with a text would not, were it ever
    to be taken for HTML.
    """
    script = "(() => {\n'use strict';\n" + "\n".join(map(_own, SCRIPTS)) + "\n})();\n"
    allowed = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment().get_template("page.html").render(
        name=name,
        digest=digest,
        facts=facts,
        sections=sections,
        style=Markup(_own("page.css")),
        script=Markup(script),
        script_digest=allowed,
    )  # fmt: skip


def environment() -> Environment:
    """Return the templates' environment.

    Of Jinja's filters there is but ``data``: most others give back markup, which `visible` would not see any more.
    """
    found = Environment(
        loader=PackageLoader("sitkit.report.page", ""),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters = {"data": data}
    return found


def data(value: Json) -> Markup:
    """Return JSON for the inside of a script element: ASCII, without a character that could end it or a string."""
    return Markup(json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_FOR_SCRIPT))


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _own(name: str) -> str:
    return files("sitkit.report.page").joinpath(name).read_text(encoding="utf-8")
