"""MkDocs hooks of the documentation site (mkdocs.yml): pages that lie outside docs/, and links that lead there.

README.md, CONTRIBUTING.md and the READMEs of two folders are pages of the site too, under the names in `PAGES`. A link
to one of them leads to its page; a link to any other file of the repository becomes its text, since the site has no
such file. A link to nothing is left as it is, and the strict build names it.
"""

from __future__ import annotations

import os.path
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "lm-eval-tasks.md": "tasks/README.md",
    "embedded-world.md": "plugins/sitkit_tiny/README.md",
}
"""Page of the site -> the file of the repository that it shows."""

_CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    from mkdocs.structure.files import File

    for name, source in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages of the site, code left alone."""
    parts, start = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_links(markdown[start : code.start()], page.file.src_uri), code[0]]
        start = code.end()
    return "".join([*parts, _links(markdown[start:], page.file.src_uri)])


def _links(text: str, page: str) -> str:
    source = PAGES.get(page, f"docs/{page}")

    def rewritten(link: re.Match[str]) -> str:
        target, mark, anchor = link[2].partition("#")
        if not target or ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = {file: name for name, file in PAGES.items()}.get(path)
        if place is None and path.startswith("docs/"):
            place = path.removeprefix("docs/")
        if place is None:
            return link[1] if (ROOT / path).exists() else link[0]
        return f"[{link[1]}]({os.path.relpath(place, posixpath.dirname(page) or '.')}{mark}{anchor})"

    return _LINK.sub(rewritten, text)
