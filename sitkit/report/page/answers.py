"""The answers: the data of every chunk, packed, and the frame that the page's script fills when a reader asks."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sitkit.report.answers_table import Chunk
from sitkit.report.arms import BOTH
from sitkit.report.page.html import Html, data, el, join
from sitkit.report.page.parts import section
from sitkit.types import Json

MOST_BYTES = 48 * 2**20
"""Packed answers that a page holds at most; what comes later is left in its files, and the page says so."""


@dataclass(frozen=True)
class Packed:
    """Chunks as script elements, where each lies, and which found no room."""

    elements: Html
    files: dict[str, str]
    left_out: dict[str, str]


def pack(chunks: Iterable[Chunk], most: int = MOST_BYTES) -> Packed:
    """Pack chunks as long as there is room. The same chunks give the same bytes."""
    elements, files, left_out, size = list[Html](), dict[str, str](), dict[str, str](), 0
    for chunk in chunks:
        text = json.dumps(chunk.content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        packed = base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode("ascii")
        if size + len(packed) > most:
            left_out[chunk.name] = chunk.file
            continue
        size += len(packed)
        files[chunk.name] = chunk.file
        elements.append(el("script", Html(packed), type="application/gzip", data_chunk=chunk.name))
    return Packed(join(elements), files, left_out)


def answers(index: Json, packed: Packed, missing: dict[str, str]) -> Html:
    """Return the section; ``missing`` says what could not be had, and why. It starts with the fullest training."""
    start = max(range(len(index)), key=lambda at: (index[at]["method"] == BOTH, index[at]["fraction"], -at), default=0)
    if not any(arm["test"] for arm in index):
        return section(
            "answers",
            "The answers",
            el("p", "These results name no stored answers: run the recipe again to have them."),
        )
    content = {"arms": index, "start": start, "files": packed.files, "leftOut": packed.left_out}
    gone = [f"{what}: {why}" for what, why in missing.items()]
    return section(
        "answers",
        "The answers",
        el(
            "p",
            "Every answer behind the numbers: what each phase said to a test question, side by side; and for a training"
            " question the teacher’s demonstration, the student’s own answers, and which of them were chosen and"
            " rejected. Texts of models are shown as they are, with invisible characters written out.",
            class_="note",
        ),
        el("ul", *(el("li", text) for text in gone), class_="gone") if gone else None,
        el("div", id="browser", data_state="waiting"),
        el("noscript", el("p", "Reading the answers needs JavaScript; everything else on this page does not.")),
        el("script", data(content), type="application/json", id="index"),
        packed.elements,
    )
