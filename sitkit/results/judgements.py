"""What judges said of a run, as typed data: the files of its folder ``judgements``, one for each judge.

Ratings are from 1 to 3, differences are later minus earlier, errors are standard errors over questions: a judged
student is taken as it is, so another seed of its training is not in them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import msgspec

from sitkit.errors import ArtifactError
from sitkit.results.model import Results, Tasks, Usage
from sitkit.store import write_atomically
from sitkit.types import PHASES, Generation, Json, Phase, Prompting

SCHEMA = 1
"""The version of the shape of these files; raised with any change to it, and other versions are refused."""

JUDGEMENTS = "judgements"
"""The folder of a run that holds a NAME.json for each judge, and what it rated beside it as NAME.jsonl."""

Judged = Literal["baseline", "instruct", "refine", "teacher", "target"]

JUDGED: tuple[Judged, ...] = (*PHASES, "teacher", "target")
"""Whose answers can be judged: a student's after each phase (Table 14), the teacher's and the target (Table 13)."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """Whose answers were rated; what does not apply is blank, as in `sitkit.results.model.Cell`."""

    student: str = ""
    teacher: str = ""
    strategy: str = ""
    method: str = ""
    fraction: float = 1.0
    train_on: Tasks = ()
    refine_on: Tasks = ()
    seed: int


@dataclass(frozen=True, kw_only=True)
class Rating(Party):
    """The mean rating of one party's answers to one benchmark; to all of them where ``benchmark`` is None.

    ``n`` counts the answers with a rating, ``counts`` those of each rating; ``unread`` replies hold none, ``failed``
    answers have no reply. ``tampered`` answers hold a rating or a heading of the judge's prompt themselves. ``mean`` is
    None without a rating, ``stderr`` for fewer than two.
    """

    phase: Judged
    prompting: Prompting
    benchmark: str | None
    n: int
    mean: float | None
    stderr: float | None
    counts: Mapping[int, int]
    unread: int
    failed: int
    tampered: int


@dataclass(frozen=True, kw_only=True)
class RatingChange(Party):
    """From one phase of a student to a later one, question by question over the ``n`` rated in both.

    ``low`` and ``high`` bound the 95% t-interval of ``difference`` (None for fewer than two questions).
    """

    before: Phase
    after: Phase
    prompting: Prompting
    benchmark: str | None
    n: int
    difference: float
    stderr: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An answer the judge did not reply to, and why."""

    question_id: str
    benchmark: str
    phase: Judged
    prompting: Prompting
    outcome: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """All that one judge said of a run.

    ``sample`` questions of each benchmark were drawn by ``seed``, ``questions`` counts them; ``stages`` are the keys of
    those that hold the answers. ``calls`` counts different prompts, ``outcomes`` what became of them.
    """

    schema: int = SCHEMA
    digest: str = ""
    judge: str
    judge_fingerprint: Json
    prompt: str
    reader: int
    sitkit: str
    run: str
    run_seed: int
    sample: int
    seed: int
    phases: tuple[Judged, ...]
    promptings: tuple[Prompting, ...]
    questions: Mapping[str, int]
    stages: tuple[str, ...]
    generation: Generation
    calls: int
    outcomes: Mapping[str, int]
    ratings: tuple[Rating, ...]
    changes: tuple[RatingChange, ...]
    failures: tuple[Failure, ...]
    usage: Usage


def load_judgements(folder: Path, results: Results) -> tuple[list[Judgement], list[str]]:
    """Return what each judge said of a run, by file name, and a sentence for each file that cannot be used.

    Judgements of answers that the results no longer name, because another recipe was run under the run's name, are
    left out.
    """
    named = {score.key for cell in results.cells for score in cell.seeds} | {
        score.key for score in results.teacher_scores
    }
    found, problems = list[Judgement](), list[str]()
    for path in sorted((folder / JUDGEMENTS).glob("*.json")):
        try:
            judgement = read_judgement(path)
        except ArtifactError as error:
            problems.append(str(error))
        else:
            if named.issuperset(judgement.stages):
                found.append(judgement)
    return found, problems


def read_judgement(path: Path) -> Judgement:
    """Read one file and hold it against its items, where they are there.

    Raises `ArtifactError` if it is damaged or of another version, saying what to do.
    """
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_Head).schema
        if schema != SCHEMA:
            raise ValueError(f"another version of sitkit wrote it (schema {schema or 'none'}, this one reads {SCHEMA})")
        judgement = msgspec.json.decode(content, type=Judgement)
        if _digest_of(judgement) != judgement.digest:
            raise ValueError("it is damaged: its digest does not match")
        _check_items(judgement, path.with_suffix(".jsonl"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{path} cannot be read as judgements: {reason}; remove it or judge again") from error
    return judgement


def _check_items(judgement: Judgement, path: Path) -> None:
    """Raise ValueError where the ratings are not those of the items they are the means of."""
    try:
        rows = [msgspec.json.decode(line, type=_Item) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return
    except ValueError as error:
        raise ValueError(f"its items in {path.name} are damaged: {error}") from error
    places = [_place(row, row.benchmark) for row in rows] + [_place(row, None) for row in rows]
    counts = Counter(zip(places, [row.rating for row in rows] * 2, strict=True))
    for rating in judgement.ratings:
        place = _place(rating, rating.benchmark)
        found = {value: counts[place, value] for value in rating.counts}
        n = sum(found.values())
        mean = sum(value * count for value, count in found.items()) / n if n else None
        alike = mean == rating.mean or (mean and rating.mean and math.isclose(mean, rating.mean))
        if found != rating.counts or n != rating.n or not alike:
            raise ValueError(f"its ratings are not those of its items in {path.name}")


def _place(of: Rating | _Item, benchmark: str | None) -> tuple[object, ...]:
    return *(getattr(of, field.name) for field in fields(Party)), of.phase, of.prompting, benchmark


def write_judgement(path: Path, judgement: Judgement) -> Judgement:
    """Write a judgement and return it, sealed by its digest. Raises OSError if the file cannot be written."""
    sealed = replace(judgement, digest=_digest_of(judgement))
    write_atomically(path, encoded(sealed))
    return sealed


def encoded(judgement: Judgement) -> str:
    """Return a judgement as its file has it: JSON, indented by one blank."""
    return msgspec.json.format(msgspec.json.encode(judgement), indent=1).decode("utf-8") + "\n"


@dataclass(frozen=True)
class _Head:
    schema: int = 0


@dataclass(frozen=True, kw_only=True)
class _Item(Party):
    """What of a row of the items the ratings follow from."""

    phase: Judged
    prompting: Prompting
    benchmark: str
    rating: int | None


def _digest_of(judgement: Judgement) -> str:
    return hashlib.sha256(msgspec.json.encode(replace(judgement, digest=""))).hexdigest()
