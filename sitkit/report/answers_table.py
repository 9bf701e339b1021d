"""Every answer behind a run's numbers, gathered from the store as chunks of plain data, one for each stage's file.

A chunk is read by the report's page when a reader asks for it. Texts are given as they are: whoever shows them must
treat them as untrusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sitkit.report.arms import Arm, Row, arms, describe, rows_of
from sitkit.results.artifacts import Stored, place
from sitkit.results.questions import TestQuestions
from sitkit.stages.pair import LEFT_OUT
from sitkit.types import PROMPTINGS, Json

LONGEST = 20_000
"""Characters of one text that are taken; of a longer one the start, and how many were cut."""

_SHOWN = 20


@dataclass(frozen=True)
class Chunk:
    """The rows of one file as columns. ``name`` is ``stage/key`` as in the store, ``file`` where the rows lie."""

    name: str
    file: str
    content: Json


def name_of(stage: str, key: str) -> str:
    """Return the chunk's name for a stage's key."""
    return f"{stage}/{key[:_SHOWN]}"


def index(results: Json) -> list[dict[str, Json]]:
    """Return, for each arm and seed, which chunks hold its answers.

    ``test`` maps benchmark -> phase -> chunk, ``questions`` benchmark -> chunk; ``annotate`` and ``sample`` list
    chunks, ``pair`` is one or None.
    """
    found = arms(results)
    entries = []
    for arm in found:
        seeds = {int(run["seed"]): run for run in arm.runs}
        for seed in arm.seeds:
            run = seeds.get(seed, {})
            test, questions = _tested(arm, seed, results["scores"])
            label = describe(arm, found)
            entries.append(
                {
                    "arm": found.index(arm),
                    "label": f"{label}, seed {seed}" if len(arm.seeds) > 1 else label,
                    "seed": seed,
                    "method": arm.method,
                    "fraction": arm.fraction,
                    "train_on": list(arm.train_on),
                    "refine_on": list(arm.refine_on),
                    "test": test,
                    "questions": questions,
                    "annotate": [name_of("annotate", key) for key in run.get("annotate") or ()],
                    "sample": [name_of("sample", key) for key in run.get("sample") or ()],
                    "pair": name_of("pair", run["pair"]) if run.get("pair") else None,
                }
            )
    return entries


def _tested(arm: Arm, seed: int, rows: Sequence[Row]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    test: dict[str, dict[str, str]] = {}
    questions: dict[str, str] = {}
    for row in rows_of(arm, rows):
        if row["seed"] == seed and row.get("key"):
            benchmark = str(row["benchmark"])
            test.setdefault(benchmark, {})[str(row["phase"])] = name_of("evaluate", str(row["key"]))
            questions[benchmark] = f"questions/{benchmark}/{seed}"
    return test, questions


def chunks(results: Json, stored: Stored, questions: TestQuestions) -> Iterator[Chunk]:
    """Yield each chunk once, in the order in which a reader will ask for them: arm by arm."""
    seen: set[str] = set()
    for arm in arms(results):
        yield from _chunks_of(arm, results["scores"], stored, questions, seen)


def _chunks_of(
    arm: Arm, rows: Sequence[Row], stored: Stored, questions: TestQuestions, seen: set[str]
) -> Iterator[Chunk]:
    for row in rows_of(arm, rows):
        if not row.get("key"):
            continue
        key, benchmark, seed = str(row["key"]), str(row["benchmark"]), int(row["seed"])
        name = f"questions/{benchmark}/{seed}"
        if name not in seen:
            seen.add(name)
            asked = _questions(questions, benchmark, seed, key)
            if asked is not None:
                yield Chunk(name, f"the test split of {benchmark}", asked)
        yield from _chunk("evaluate", key, stored, seen)
    for run in arm.runs:
        for key in run.get("annotate") or ():
            yield from _chunk("annotate", key, stored, seen)
        for key in run.get("sample") or ():
            yield from _chunk("sample", key, stored, seen)
        if run.get("pair"):
            yield from _paired(run, stored, seen)


def _questions(questions: TestQuestions, benchmark: str, seed: int, key: str) -> Json:
    found = questions.of(benchmark, seed, key)
    if not found:
        return None
    return {
        "id": list(found),
        "prompt": [_cut(one.prompt("direct")) for one in found.values()],
        "target": [_cut(one.target_text) for one in found.values()],
    }


def _chunk(stage: str, key: str, stored: Stored, seen: set[str]) -> Iterator[Chunk]:
    name = name_of(stage, key)
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
    }


def _paired(run: Mapping[str, Json], stored: Stored, seen: set[str]) -> Iterator[Chunk]:
    name = name_of("pair", run["pair"])
    if name in seen:
        return
    seen.add(name)
    rows = stored.rows("pair", run["pair"])
    if rows is None:
        return
    texts = _known_texts(run, stored)
    left_out = stored.rows("pair", run["pair"], LEFT_OUT) or []
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
    yield Chunk(name, place("pair", run["pair"]), content)


_Texts = Mapping[tuple[str, str], Mapping[str, str]]


def _known_texts(run: Mapping[str, Json], stored: Stored) -> _Texts:
    known: dict[tuple[str, str], dict[str, str]] = {}
    for key in run.get("annotate") or ():
        for row in stored.rows("annotate", key) or ():
            known.setdefault((row["benchmark"], row["question_id"]), {})["teacher"] = row["completion"]
    for key in run.get("sample") or ():
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
