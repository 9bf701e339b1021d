"""From a judge's replies to what there is to tell: judgements.json as plain data, and its items, a row each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import sitkit
from sitkit.components import Component
from sitkit.judging.items import Item
from sitkit.judging.prompt import holds_markup
from sitkit.judging.reading import READER_VERSION, read_rating
from sitkit.judging.statistics import UNANSWERED, Rated, difference_rows, rating_rows
from sitkit.types import TRUNCATED, Generation, Json, Reply, Teacher

PROMPT_SOURCE = "arXiv 2405.00402v1, Table 12"


def rate(items: Sequence[Item], replies: Mapping[str, Reply]) -> list[Rated]:
    """Return each answer with its rating, where one can be read."""
    return [_rated(item, replies.get(item.prompt.id)) for item in items]


def _rated(item: Item, reply: Reply | None) -> Rated:
    failed = reply is None or reply.failed
    rating = None if reply is None or failed else read_rating(reply.completion, truncated=reply.outcome == TRUNCATED)
    return Rated(item, rating, failed, holds_markup(item.answer))


def make_judgement(
    judge: Component[Teacher],
    generation: Generation,
    rated: Sequence[Rated],
    replies: Mapping[str, Reply],
    usage: Json,
    asked: Mapping[str, Json],
) -> dict[str, Json]:
    """Return what is written as judgements: ``asked`` (sample, seed and the like) is taken over as it is.

    ``outcomes`` counts what became of the calls, ``failures`` lists those without a reply; both count a prompt once,
    though several phases may have given the same answer to the same question.
    """
    prompts = dict.fromkeys(one.item.prompt.id for one in rated)
    outcomes = Counter(replies[one].outcome if one in replies else UNANSWERED for one in prompts)
    return {
        "judge": judge.spec,
        "judge_fingerprint": judge.fingerprint,
        "prompt": PROMPT_SOURCE,
        "reader": READER_VERSION,
        "sitkit": sitkit.__version__,
        **asked,
        "generation": asdict(generation),
        "calls": len(prompts),
        "outcomes": dict(sorted(outcomes.items())),
        "ratings": rating_rows(rated),
        "differences": difference_rows(rated),
        "failures": list(_failures(rated, replies)),
        "usage": usage,
    }


def _failures(rated: Sequence[Rated], replies: Mapping[str, Reply]) -> Iterator[dict[str, Json]]:
    for one in rated:
        if one.failed:
            reply = replies.get(one.item.prompt.id)
            yield {
                **_place(one.item),
                "outcome": UNANSWERED if reply is None else reply.outcome,
                "detail": "" if reply is None else reply.detail,
            }


def item_rows(rated: Sequence[Rated], replies: Mapping[str, Reply]) -> Iterator[dict[str, Json]]:
    """Yield what was judged and what the judge said of it, an answer a row."""
    for one in rated:
        reply = replies.get(one.item.prompt.id)
        yield {
            **_place(one.item),
            **one.item.cell.about,
            "question": one.item.question,
            "answer": one.item.answer,
            "rating": one.rating,
            "outcome": UNANSWERED if reply is None else reply.outcome,
            "reply": "" if reply is None else reply.completion,
            "tampered": one.tampered,
            "prompt_id": one.item.prompt.id,
        }


def _place(item: Item) -> dict[str, Json]:
    return {
        "question_id": item.question_id,
        "benchmark": item.cell.benchmark,
        "phase": item.cell.phase,
        "prompting": item.cell.prompting,
    }


def notices(judgement: Mapping[str, Json]) -> list[str]:
    """Return what a reader must know before believing the ratings."""
    rows = [row for row in judgement["ratings"] if row["benchmark"] is None]
    counts = {name: sum(row[name] for row in rows) for name in ("n", "unread", "failed", "tampered")}
    total = counts["n"] + counts["unread"] + counts["failed"]
    outcomes = judgement["outcomes"]
    said = []
    if counts["failed"]:
        reasons = ", ".join(
            f"{count} {name}" for name, count in outcomes.items() if name not in ("answered", TRUNCATED)
        )
        said.append(
            f"{counts['failed']} of {total} answers have no reply of the judge (calls: {reasons}); the same command"
            " tries them again"
        )
    if counts["unread"]:
        said.append(f"{counts['unread']} of {total} answers have a reply no rating from 1 to 3 can be read in")
    if outcomes.get(TRUNCATED):
        said.append(
            f"{outcomes[TRUNCATED]} of {judgement['calls']} replies were cut at"
            f" {judgement['generation']['max_new_tokens']} tokens: raise --max-new-tokens"
        )
    if counts["tampered"]:
        said.append(
            f"{counts['tampered']} of {total} answers hold a rating or a heading of the judge's prompt themselves,"
            " which may sway a judge; they are marked in the items"
        )
    return said


def file_stem(spec: str, digest: str) -> str:
    """Return a file name for a judge's SPEC that no other SPEC has."""
    slug = re.sub(r"[^A-Za-z0-9+_.-]+", "-", spec).strip("-.")
    return f"{slug[:60]}_{digest[:8]}"
