"""Every answer behind a run's numbers, gathered from the store as chunks of plain data, one for each stage's file.

A chunk is unpacked by the page's script when a reader asks for it. Texts are given as they are: whoever shows them must
treat them as untrusted.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sitkit.results.arms import describe
from sitkit.results.model import Arm, Lesson, Results
from sitkit.results.questions import TestQuestions
from sitkit.results.rows import StoredRows, place
from sitkit.stages.pair import LEFT_OUT
from sitkit.store import canonical
from sitkit.types import PROMPTINGS, Json

LONGEST = 20_000
"""Characters of one text that are taken; of a longer one the start, and how many were cut."""

MOST_BYTES = 48 * 2**20
"""Packed answers that a page holds at most; what comes later is left in its files, and the page says so."""

_SHOWN = 20

Row = Mapping[str, Json]


@dataclass(frozen=True)
class Chunk:
    """The rows of one file as columns. ``name`` is ``stage/key`` as in the store, ``file`` where the rows lie."""

    name: str
    file: str
    content: Json


@dataclass(frozen=True)
class Packed:
    """Chunks by name as gzip in base64, the file of each, and the files of those that found no room."""

    content: dict[str, str]
    files: dict[str, str]
    left_out: dict[str, str]


def pack(chunks: Iterable[Chunk], most: int = MOST_BYTES) -> Packed:
    """Pack chunks as long as there is room. The same chunks give the same bytes."""
    packed, size = Packed({}, {}, {}), 0
    for chunk in chunks:
        text = json.dumps(chunk.content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        content = base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode("ascii")
        if size + len(content) > most:
            packed.left_out[chunk.name] = chunk.file
            continue
        size += len(content)
        packed.content[chunk.name] = content
        packed.files[chunk.name] = chunk.file
    return packed


def arm_id(arm: Arm) -> str:
    """Return what names an arm in links: it follows from what was done to the student, not from the arm's place among
    others, so that a link still leads there when the run is repeated with more arms or seeds.
    """
    what = [*arm.setting, list(arm.train_on), list(arm.refine_on), arm.fraction, arm.method]
    return hashlib.sha256(canonical(what)).hexdigest()[:8]


def index(results: Results) -> list[dict[str, Json]]:
    """Return, for each arm and seed, which chunks hold its answers.

    ``test`` maps benchmark -> phase -> chunk, ``questions`` benchmark -> chunk; ``annotate`` and ``sample`` list
    chunks, ``pair`` is one or None.
    """
    entries = []
    for arm in results.arms:
        label = describe(arm, results.arms)
        for lesson in arm.lessons:
            test: dict[str, dict[str, str]] = {}
            for cell in results.cells_of(arm):
                for score in cell.seeds:
                    if score.seed == lesson.seed:
                        test.setdefault(cell.benchmark, {})[cell.phase] = chunk_name("evaluate", score.key)
            entries.append(
                {
                    "arm": arm_id(arm),
                    "label": f"{label}, seed {lesson.seed}" if len(arm.lessons) > 1 else label,
                    "teacher": arm.teacher,
                    "seed": lesson.seed,
                    "test": test,
                    "questions": {benchmark: questions_name(benchmark, lesson.seed) for benchmark in test},
                    "annotate": [chunk_name("annotate", key) for key in lesson.annotate],
                    "sample": [chunk_name("sample", key) for key in lesson.sample],
                    "pair": None if lesson.pair is None else chunk_name("pair", lesson.pair),
                }
            )
    return entries


def fullest(results: Results) -> int:
    """Return the place in the `index` of the first arm of both phases with the most demonstrations."""
    entries = [arm for arm in results.arms for _ in arm.lessons]
    return max(range(len(entries)), key=lambda at: (entries[at].method == "both", entries[at].fraction, -at), default=0)


def chunks(results: Results, stored: StoredRows, questions: TestQuestions) -> Iterator[Chunk]:
    """Yield each chunk once, in the order in which a reader will ask for them: arm by arm."""
    seen: set[str] = set()
    for arm in results.arms:
        for cell in results.cells_of(arm):
            for score in cell.seeds:
                name = questions_name(cell.benchmark, score.seed)
                if name not in seen:
                    seen.add(name)
                    yield from questions_chunk(name, questions, cell.benchmark, score.seed, score.key)
                yield from stage_chunk("evaluate", score.key, stored, seen)
        for lesson in arm.lessons:
            for key in lesson.annotate:
                yield from stage_chunk("annotate", key, stored, seen)
            for key in lesson.sample:
                yield from stage_chunk("sample", key, stored, seen)
            yield from _paired(lesson, stored, seen)


def chunk_name(stage: str, key: str) -> str:
    """Return the name of the chunk of a stage's rows."""
    return f"{stage}/{key[:_SHOWN]}"


def questions_name(benchmark: str, seed: int) -> str:
    """Return the name of the chunk of a benchmark's test questions."""
    return f"questions/{benchmark}/{seed}"


def questions_chunk(name: str, questions: TestQuestions, benchmark: str, seed: int, key: str) -> list[Chunk]:
    """Return the chunk of the questions that the evaluate stage ``key`` scored; none where they cannot be had."""
    found = questions.of(benchmark, seed, key)
    content = {
        "id": list(found),
        "prompt": [_cut(one.prompt("direct")) for one in found.values()],
        "target": [_cut(one.target_text) for one in found.values()],
    }
    return [Chunk(name, f"the test split of {benchmark}", content)] if found else []


def stage_chunk(stage: str, key: str, stored: StoredRows, seen: set[str]) -> Iterator[Chunk]:
    """Yield the chunk of a stage's rows, unless it was ``seen`` or its file is gone."""
    name = chunk_name(stage, key)
    if name in seen:
        return
    seen.add(name)
    rows = stored.rows(stage, key)
    if rows is not None:
        yield Chunk(name, place(stage, key), _COLUMNS[stage](rows))


def _predictions(rows: Sequence[Row]) -> Json:
    found: dict[str, Json] = {}
    for prompting in PROMPTINGS:
        own = [row for row in rows if row["prompting"] == prompting]
        found[prompting] = {
            "id": [row["question_id"] for row in own],
            "text": [_cut(row["completion"]) for row in own],
            "read": [None if row["extracted"] is None else _cut(row["extracted"]) for row in own],
            "right": [int(row["correct"]) for row in own],
            "truncated": [int(row["truncated"]) for row in own],
        }
    return {"benchmark": rows[0]["benchmark"] if rows else "", **found}


def _demonstrations(rows: Sequence[Row]) -> Json:
    return {
        "id": [row["question_id"] for row in rows],
        "benchmark": [row["benchmark"] for row in rows],
        "prompt": [_cut(row["prompt"]) for row in rows],
        "text": [_cut(row["completion"]) for row in rows],
        "thought": [_cut(row.get("reasoning") or "") for row in rows],
        "right": [int(row["correct"]) for row in rows],
        "truncated": [int(row.get("truncated") or False) for row in rows],
    }


def _answers(rows: Sequence[Row]) -> Json:
    return {
        "id": [row["question_id"] for row in rows],
        "benchmark": [row["benchmark"] for row in rows],
        "direct": [_cut(row["direct"]) for row in rows],
        "cot": [_cut(row["cot"]) for row in rows],
        "direct_truncated": [int(row["direct_truncated"]) for row in rows],
        "cot_truncated": [int(row["cot_truncated"]) for row in rows],
    }


def _paired(lesson: Lesson, stored: StoredRows, seen: set[str]) -> Iterator[Chunk]:
    if lesson.pair is None or chunk_name("pair", lesson.pair) in seen:
        return
    seen.add(chunk_name("pair", lesson.pair))
    rows = stored.rows("pair", lesson.pair)
    if rows is None:
        return
    texts = _known_texts(lesson, stored)
    left_out = stored.rows("pair", lesson.pair, LEFT_OUT) or []
    content = {
        "id": [row["question_id"] for row in rows],
        "benchmark": [row["benchmark"] for row in rows],
        "prompt": [_cut(row["prompt"]) for row in rows],
        "chosen": [_side(row, row["chosen"], texts) for row in rows],
        "rejected": [_side(row, row["rejected"], texts) for row in rows],
        "from": [row["chosen_from"] for row in rows],
        "chosen_right": [int(row["chosen_correct"]) for row in rows],
        "rejected_right": [int(row["rejected_correct"]) for row in rows],
        "left_out": [[row["benchmark"], row["question_id"], row["reason"]] for row in left_out],
    }
    yield Chunk(chunk_name("pair", lesson.pair), place("pair", lesson.pair), content)


_Texts = Mapping[tuple[str, str], Mapping[str, str]]


def _known_texts(lesson: Lesson, stored: StoredRows) -> _Texts:
    known: dict[tuple[str, str], dict[str, str]] = {}
    for key in lesson.annotate:
        for row in stored.rows("annotate", key) or ():
            known.setdefault((row["benchmark"], row["question_id"]), {})["teacher"] = row["completion"]
    for key in lesson.sample:
        for row in stored.rows("sample", key) or ():
            known.setdefault((row["benchmark"], row["question_id"]), {}).update(direct=row["direct"], cot=row["cot"])
    return known


def _side(row: Row, text: str, texts: _Texts) -> Json:
    """A side that is one of the texts shown beside it is named; another is given as it is."""
    known = texts.get((row["benchmark"], row["question_id"]), {})
    wanted = ("teacher", "cot", "direct") if row["chosen_from"] == "teacher" else ("cot", "direct", "teacher")
    for source in wanted:
        if known.get(source) == text:
            return [source]
    return _cut(text)


def _cut(text: Json) -> str:
    whole = str(text)
    if len(whole) <= LONGEST:
        return whole
    return f"{whole[:LONGEST]}\n[{len(whole) - LONGEST} more characters are in the file]"


_COLUMNS = {"evaluate": _predictions, "annotate": _demonstrations, "sample": _answers}
