"""What a user's own rows say: which field is the question, of which kind the answers are, and the rows that are wrong.

Found out from the rows where it can be, told (``question=stem,target=key,kind=choice``) where it cannot.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sitkit.answers import extract
from sitkit.conformance import question_fault
from sitkit.errors import DataError
from sitkit.types import LETTERS, Kind, Question
from sitkit_benchmarks.benchmark import Parsed
from sitkit_benchmarks.identity import lines
from sitkit_benchmarks.rows import Row

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "input", "question_stem", "query"),
    "choices": ("choices", "options"),
    "target": ("target", "answer", "final_ans", "final_answer", "label", "answerkey", "answer_key", "correct"),
    "solution": ("solution", "rationale"),
    "id": ("id", "question_id"),
}
"""Role -> the names of the fields that are taken for it, in lower case, where a mapping does not say."""

READINGS = ("letter", "text", "0", "1")
"""How the target of a choice may be written: its letter or label, its text, or its number counted from 0 or from 1."""

_OF_CHOICES = ("label", "answerkey", "answer_key", "correct")
"""Names of fields, in lower case, that hold which option is right more often than an answer."""

_FEW = 0.1
"""Up to this share of rows whose answers are of another kind are wrong rows; more make it another kind."""

ItemT = TypeVar("ItemT")
ReadT = TypeVar("ReadT")

_MARKS = re.compile(r"<<[^<>]*>>")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_COMMAND = re.compile(r"\\(?:text|mbox|textbf|mathrm|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LABELLED = re.compile(r"\(?([A-Z])[).:]\s*(?=\S)")
_LETTER = re.compile(r"\(?([^\s()]+?)[).:]?")


@dataclass(frozen=True)
class Understood:
    """``fields`` by role, the ``kind`` of the answers, and what each row says with the id it gives, in the rows' order.

    ``reading`` is the one of `READINGS` that holds for every row of multiple choice.
    """

    fields: Mapping[str, str]
    kind: Kind
    parsed: Sequence[Parsed]
    ids: Sequence[str | None]
    reading: str = ""


@dataclass(frozen=True)
class _Raw:
    """A row before it is known of which kind the answers are; ``parsed`` has no target yet."""

    row: Row
    parsed: Parsed
    target: str
    labels: tuple[str, ...]
    id: str | None


def understand(rows: Sequence[Row], told: Mapping[str, str], where: str) -> Understood:
    """Return what the rows say. ``told`` are fields by role, a "kind", and "target_as" (one of `READINGS`).

    Raises `DataError` naming ``where``, or the row and the field; of several wrong rows the first, and how many more.
    """
    if not rows:
        raise DataError(f"{where} has no rows")
    fields = _fields(rows, told, where)
    if told.get("kind", "choice") != "choice":
        fields.pop("choices", None)
    raws = _each(rows, lambda row: _raw(row, fields))
    kind: Any = told.get("kind") or _kind(raws, fields, where)
    if kind == "choice" and "choices" not in fields:
        raise DataError(f"{where}: which field holds the options? Say choices=FIELD (fields: {', '.join(rows[0])})")
    ids = [raw.id for raw in raws]
    if kind == "choice":
        reading = told.get("target_as") or _reading(raws, fields, where)
        found = _each(raws, lambda raw: _lettered(raw, reading, fields["target"]))
        return Understood(fields, kind, found, ids, reading)
    return Understood(fields, kind, _each(raws, lambda raw: _answered(raw, kind, _target_field(fields))), ids)


def _fields(rows: Sequence[Row], told: Mapping[str, str], where: str) -> dict[str, str]:
    has, found = dict.fromkeys(name for row in rows for name in row), dict[str, str]()
    every = ", ".join(has) or "none"
    for role, usual in USUAL.items():
        if role in told:
            missing = [name for name in told[role].split("+") if not any(name in row for row in rows)]
            if missing:
                raise DataError(f"{where}: {role}={told[role]}: no row has a field {missing[0]!r} (fields: {every})")
            found[role] = told[role]
            continue
        names = [name for name in has if name.lower() in usual]
        if len(names) > 1 and role != "id":
            say = " or ".join(f"{role}={name}" for name in names)
            raise DataError(f"{where}: the {role} may be {' or '.join(names)}: say {say}")
        if names:
            found[role] = names[0]
    if "question" not in found:
        raise DataError(f"{where}: which field is the question? Say question=FIELD (fields: {every})")
    if "target" not in found and "solution" not in found:
        raise DataError(f"{where}: which field is the answer? Say target=FIELD (fields: {every})")
    return found


def _target_field(fields: Mapping[str, str]) -> str:
    return fields.get("target", fields.get("solution", ""))


def _raw(row: Row, fields: Mapping[str, str]) -> _Raw:
    question = " ".join(row.text(name) for name in fields["question"].split("+"))
    texts, labels = _options(row, fields["choices"]) if "choices" in fields else (None, ())
    solution = row.text(fields["solution"]) if fields.get("solution", "") in row else None
    name = _target_field(fields)
    target = _plain(row, name)
    if "####" in target:
        worked, _, target = (part.strip() for part in target.rpartition("####"))
        target = _THOUSANDS.sub("", target)
        solution = solution or f"{_MARKS.sub('', worked).strip()}\nThe answer is {target}.".strip()
    elif "\\boxed" in target:
        # Read by the reader that reads the students' boxes, so that both understand a box in the same way.
        target = extract(Question("", "", "math", "", question, None, ""), target) or ""
    elif "target" not in fields:
        raise row.wrong(name, "expected the answer in a last \\boxed{…}; or say target=FIELD")
    if not target:
        raise row.wrong(name, "no answer follows its mark")
    given = _plain(row, fields["id"]) if fields.get("id", "") in row else None
    return _Raw(row, Parsed(question, "", texts, solution), target, labels, given)


def _plain(row: Row, name: str) -> str:
    """Return a text, or a number as one."""
    value = row.value(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return row.text(name)
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise row.wrong(name, f"expected a number, got {value}")
    return str(int(value)) if value.is_integer() else repr(value)


def _options(row: Row, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options' texts and labels: of a list, of ``{label, text}`` either way round, or of several fields."""
    value = [_plain(row, part) for part in name.split("+")] if "+" in name else row.value(name)
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise row.wrong(name, f"not valid JSON ({error})") from error
    labels: list[Any] = []
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        labels, value = list(value.get("label") or []), value["text"]
    elif isinstance(value, Mapping):
        labels, value = list(value), list(value.values())
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        labels, value = [item.get("label") for item in value], [item.get("text") for item in value]
    if not isinstance(value, list | tuple):
        raise row.wrong(name, f"expected a list of options, got {type(value).__name__}")
    if not 2 <= len(value) <= len(LETTERS):
        raise row.wrong(name, f"expected 2 to {len(LETTERS)} options, got {len(value)}")
    parts = Row({f"{name}[{at}]": item for at, item in enumerate(value)}, row.where)
    texts = [_plain(parts, part) for part in (f"{name}[{at}]" for at in range(len(value)))]
    marks = [_LABELLED.match(text) for text in texts]
    if all(mark and mark[1] == letter for mark, letter in zip(marks, LETTERS, strict=False)):
        texts = [text[mark.end() :] for text, mark in zip(texts, marks, strict=True) if mark]
    if labels and (len(labels) != len(texts) or len({str(label) for label in labels}) < len(labels)):
        raise row.wrong(name, f"expected a label of its own for each of {len(texts)} options, got {labels!r:.60}")
    return tuple(texts), tuple(str(label).strip() for label in labels) or tuple(LETTERS[: len(texts)])


def _kind(raws: Sequence[_Raw], fields: Mapping[str, str], where: str) -> Kind:
    if "choices" in fields:
        return "choice"
    name = _target_field(fields)
    others = [raw for raw in raws if _fault(raw, raw.target, "number")]
    words = [raw for raw in others if _WORD.search(_COMMAND.sub(" ", raw.target))]
    letters = all(len(raw.target) == 1 and raw.target in LETTERS for raw in raws)
    say = "say choices=FIELD where the options are, or kind=number or kind=math where there are none"
    if len(words) > _FEW * len(raws):
        raise DataError(f"{where}: the answers are words ({_shown(words[0].target)}), which no reader judges: {say}")
    if letters or name.lower() in _OF_CHOICES:
        raise DataError(f"{where}: the answers ({name}) seem to be those of a choice: {say}")
    if words and len(words) == len(others):
        raise _several([raw.row.wrong(name, f"expected a number, got {_shown(raw.target)}") for raw in words])
    return "math" if others else "number"


def _answered(raw: _Raw, kind: Kind, name: str) -> Parsed:
    target = _THOUSANDS.sub("", raw.target) if kind == "number" else raw.target
    if fault := _fault(raw, target, kind):
        raise raw.row.wrong(name, fault.removeprefix("the target "))
    return replace(raw.parsed, target=target)


def _fault(raw: _Raw, target: str, kind: Kind) -> str | None:
    return question_fault(Question("id", "own", kind, "?", raw.parsed.question, None, target), "own")


def _reading(raws: Sequence[_Raw], fields: Mapping[str, str], where: str) -> str:
    """Return how the targets are written: the first reading that every row allows, counting being told apart by a 0."""
    fits = {reading: sum(_letter(raw, reading) is not None for raw in raws) for reading in READINGS}
    whole = [reading for reading in READINGS if fits[reading] == len(raws)]
    if not whole:
        return max(READINGS, key=lambda reading: fits[reading])
    if whole == ["0", "1"]:
        name = fields["target"]
        raise DataError(f"{where}: {name} counts the options from 0 or from 1: say target_as=0 or target_as=1")
    return whole[0]


def _lettered(raw: _Raw, reading: str, name: str) -> Parsed:
    letter = _letter(raw, reading)
    if letter is None:
        count = len(raw.labels)
        expected = {
            "letter": f"one of {', '.join(raw.labels)}",
            "text": "the text of one of the options",
            "0": f"a number from 0 to {count - 1}",
            "1": f"a number from 1 to {count}",
        }
        raise raw.row.wrong(name, f"expected {expected[reading]}, got {_shown(raw.target)}")
    return replace(raw.parsed, target=letter)


def _letter(raw: _Raw, reading: str) -> str | None:
    if reading == "letter":
        found = _LETTER.fullmatch(raw.target)
        places = [at for at, label in enumerate(raw.labels) if found and label.upper() == found[1].upper()]
    elif reading == "text":
        wanted = lines(raw.target)
        places = [at for at, text in enumerate(raw.parsed.choices or ()) if lines(text) == wanted]
    else:
        digits = raw.target.isascii() and raw.target.isdigit()
        place = int(raw.target) - int(reading) if digits else -1
        places = [place] if 0 <= place < len(raw.labels) else []
    return LETTERS[places[0]] if len(places) == 1 else None


def _each(items: Iterable[ItemT], read: Callable[[ItemT], ReadT]) -> list[ReadT]:
    found, wrong = list[ReadT](), list[DataError]()
    for item in items:
        try:
            found.append(read(item))
        except DataError as error:
            wrong.append(error)
    if wrong:
        raise _several(wrong)
    return found


def _several(wrong: Sequence[DataError]) -> DataError:
    more = f"; {len(wrong) - 1:,} more rows are wrong" if len(wrong) > 2 else "; one more row is wrong"
    return DataError(f"{wrong[0]}{more if len(wrong) > 1 else ''}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}…")
