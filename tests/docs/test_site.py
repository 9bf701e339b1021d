"""The documentation site builds strictly, broken links fail it, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(root / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([*command, "--site-dir", str(site)], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    named = {Path("index.html"), Path("contributing.html"), Path("lm-eval-tasks.html"), Path("embedded-world.html")}
    readmes = {page.with_name("index.html") if page.name == "README.html" else page for page in pages}
    assert readmes | named <= made


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(https?:)?//[^\"' >]*", re.IGNORECASE)
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        found = [tag[0] for tag in loads.finditer(text) if 'rel="canonical"' not in tag[0]]
        assert not found, (page.name, found)
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not [url for text in styles for url in re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", text)]


@pytest.mark.slow
def test_broken_links_fail_the_build(tmp_path: Path) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / ".ci").symlink_to(ROOT / ".ci")
    page = tmp_path / "docs" / "tutorial.md"
    broken = ("gone.md", "tutorial.md#no-such-heading", "../sitkit/gone.py")
    links = "".join(f"\n[gone]({link})\n" for link in broken)
    page.write_text(page.read_text(encoding="utf-8") + links, encoding="utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(told) == len(broken)
    assert all(any(link.rpartition("tutorial.md")[2] in line for line in told) for link in broken)


def test_the_page_of_plugins_is_what_the_code_says() -> None:
    made = runpy.run_path(str(ROOT / ".ci" / "plugins_page.py"))["page"]()
    assert (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8") == made, "run `make api`"
