"""What a user's own rows say: which field is the question, of which kind the answers are, and the rows that are wrong.

Found out from the rows where it can be, told by a mapping (``question=stem,target=key``) where it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sitkit.errors import DataError
from sitkit.types import Kind
from sitkit_benchmarks.benchmark import Parsed
from sitkit_benchmarks.rows import Row

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "input", "question_stem"),
    "choices": ("choices", "options"),
    "target": ("target", "answer", "final_ans", "final_answer", "label", "answerKey"),
    "solution": ("solution", "rationale"),
    "id": ("id", "question_id"),
}
"""Role -> the fields' names that are taken for it where no mapping says more."""


@dataclass(frozen=True)
class Understood:
    """``fields`` by role, the ``kind`` of the answers, and what each row says, in the rows' order."""

    fields: Mapping[str, str]
    kind: Kind
    parsed: Sequence[Parsed]
    ids: Sequence[str | None]


def understand(rows: Sequence[Row], told: Mapping[str, str], where: str) -> Understood:
    """Return what the rows say. ``told`` maps roles to fields, and "kind" to one. Raises `DataError`, `SpecError`."""
    fields = _fields(rows, told, where)
    kind: Any = told.get("kind") or _kind(rows, fields, where)
    parsed = [_parsed(row, fields, kind) for row in rows]
    return Understood(fields, kind, parsed, [None] * len(rows))


def _fields(rows: Sequence[Row], told: Mapping[str, str], where: str) -> dict[str, str]:
    has = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for role, usual in USUAL.items():
        if role in told:
            found[role] = told[role]
            continue
        names = [name for name in usual if name in has]
        if len(names) > 1:
            say = " or ".join(f"{role}={name}" for name in names)
            raise DataError(f"{where}: {', '.join(names)} may each be the {role}: say {say}")
        if names:
            found[role] = names[0]
    for role in ("question", "target"):
        if role not in found:
            raise DataError(f"{where}: which field is the {role}? Say {role}=FIELD (fields: {', '.join(has)})")
    return found


def _kind(rows: Sequence[Row], fields: Mapping[str, str], where: str) -> Kind:
    return "choice" if "choices" in fields else "number"


def _parsed(row: Row, fields: Mapping[str, str], kind: Kind) -> Parsed:
    return Parsed(row.text(fields["question"]), row.text(fields["target"]))
