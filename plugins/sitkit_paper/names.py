"""Whom of the paper a run's student or teacher is to be compared with, by the name a user gave it."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAIN_STUDENT = "Llama-2-7"
MAIN_TEACHER = "Llama-2-70"

_FAMILIES = {"mistral": re.compile(r"mi[sx]tral"), "llama": re.compile(r"llama"), "gpt": re.compile(r"gpt")}
_SIZE = re.compile(r"(?<![\dx.])(\d+(?:\.\d+)?)b(?![a-z])")
_LLAMA_2 = re.compile(r"llama[-_ ]?v?2(?![\d.])")
_MIXTRAL = re.compile(r"mixtral")
_EIGHT = re.compile(r"8x7b(?![a-z])")
_GPT_35 = re.compile(r"gpt-?3\.5")
_BETWEEN_7_AND_13 = 10.0


@dataclass(frozen=True, slots=True)
class Match:
    """A model of the paper. ``why`` it was chosen, in words that follow its name; empty if it is the very same."""

    name: str
    why: str = ""


def family(spec: str) -> str | None:
    """Return "llama", "mistral" (Mixtral too) or "gpt", or None for a name that tells nothing."""
    text = _model(spec)
    return next((name for name, pattern in _FAMILIES.items() if pattern.search(text)), None)


def match_student(spec: str) -> Match:
    """Return the paper's student for a SPEC such as ``hf:meta-llama/Llama-2-7b-chat-hf``: itself, else the nearest."""
    text, found = _model(spec), family(spec)
    size = _size(text)
    if found == "llama":
        name = "Llama-2-13" if size is not None and size > _BETWEEN_7_AND_13 else MAIN_STUDENT
        same = _LLAMA_2.search(text) is not None and f"{size:g}" == name.rpartition("-")[2] if size else False
        return Match(name) if same else Match(name, "the nearest of its family")
    if found == "mistral":
        same = size == 7 and _MIXTRAL.search(text) is None
        return Match("Mistral-7") if same else Match("Mistral-7", "the nearest of its family")
    return Match(MAIN_STUDENT, "the student of its main table, as the name resembles none of its students")


def match_teacher(spec: str) -> Match:
    """Return the paper's teacher for a SPEC: itself, else the nearest."""
    text, found = _model(spec), family(spec)
    near = "the nearest of its family"
    if found == "llama":
        same = _LLAMA_2.search(text) is not None and _size(text) == 70
        return Match("Llama-2-70", "" if same else near)
    if found == "mistral":
        same = _MIXTRAL.search(text) is not None and _EIGHT.search(text) is not None
        return Match("Mixtral7x8", "" if same else near)
    if found == "gpt":
        return Match("GPT-3.5", "" if _GPT_35.search(text) else near)
    return Match(MAIN_TEACHER, "the teacher of its main table, as the name resembles none of its teachers")


def _model(spec: str) -> str:
    # What follows the first comma are options, which may hold any word.
    return spec.partition(",")[0].lower()


def _size(text: str) -> float | None:
    found = _SIZE.findall(text)
    return float(found[-1]) if found else None
