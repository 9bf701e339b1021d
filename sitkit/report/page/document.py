"""The whole page: its head with the policy that forbids every request, its navigation, and its sections."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from sitkit.report.page.html import Html, el

SCRIPTS = ("chunks.js", "rows.js", "answers.js", "page.js")
STYLE = "page.css"
MARK = "sitkit-page"

_NOWHERE = "base-uri 'none'; form-action 'none'"


def document(name: str, digest: str, lead: Html, sections: Sequence[tuple[str, str, Html]]) -> str:
    """Return the page; ``sections`` are (id, name in the navigation, content).

    Scripts run only if they are the page's own, by their digest: one that came in with a text would not, were it ever
    to be taken for HTML.
    """
    script = "(() => {\n'use strict';\n" + "\n".join(_own(one) for one in SCRIPTS) + "\n})();\n"
    allowed = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; {_NOWHERE}"
    links = [el("li", el("a", title, href=f"#{anchor}")) for anchor, title, _ in sections]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name=MARK, content=digest),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", f"{name} · sitkit"),
        el("style", Html("\n" + _own(STYLE))),
    )
    body = el(
        "body",
        el("a", "To the results", href="#results", class_="skip"),
        el("header", el("p", "sitkit report", class_="kind"), el("h1", name), lead),
        el("nav", el("ul", *links), aria_label="Sections"),
        el("main", *(content for _, _, content in sections)),
        el("script", Html(script)),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _own(name: str) -> str:
    return files("sitkit.report.page").joinpath(name).read_text(encoding="utf-8")
