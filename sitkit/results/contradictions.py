"""Results held against the store they were made from: every number that a manifest tells is looked at again.

Digests find what was damaged; this finds what was changed by somebody who wrote a new digest as well. Intervals and
p-values are not computed again, since that would take reading every answer.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from sitkit.errors import ArtifactError, StoreError
from sitkit.results.accuracy import style_and_skill, summarised
from sitkit.results.build import (
    demonstrations_told,
    pairs_told,
    seed_score,
    source_digest,
    teacher_score_told,
    training_told,
    usage_told,
)
from sitkit.results.contest import contenders
from sitkit.results.model import Change, Results
from sitkit.stages import Annotate
from sitkit.store import Artifact, Store
from sitkit.types import Json

_Claim = tuple[str, Any, Any]
"""Whose numbers they are, what the results say, and what follows from the store."""


def contradiction(results: Results, store: Store) -> str | None:
    """Return in what a store has something else than the results say, or None; what is gone is no contradiction."""
    told: dict[str, Artifact] = {}
    for stage in results.stages:
        with contextlib.suppress(ArtifactError, StoreError):
            artifact = store.told(stage.stage, stage.key)
            if artifact is not None and artifact.content != stage.content:
                return f"the store has a different {stage.title} from the one it was made from"
            if artifact is not None:
                told[stage.key] = artifact
    try:
        for what, said, found in _claims(results, told):
            if not _alike(msgspec.to_builtins(said), msgspec.to_builtins(found)):
                return f"{what} is not what the store has"
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration):
        return "it does not fit what the store has"
    return None


def _claims(results: Results, told: Mapping[str, Artifact]) -> Iterator[_Claim]:
    infos = {key: artifact.info for key, artifact in told.items()}
    yield "what it was built from", results.built_from, source_digest(results.recipe, results.versions, results.stages)
    for stage in results.stages:
        if stage.key in told:
            yield f"the time of {stage.title}", stage.seconds, told[stage.key].seconds
    named = {stage.key for stage in results.stages}
    yield "a stage it names", [key for key in _named(results) if key not in named], []
    yield from _accuracies(results, infos)
    yield from _counts(results, infos)
    yield from _taken(results, infos)


def _named(results: Results) -> Iterator[str]:
    for cell in results.cells:
        yield from cell.keys
    for arm in results.arms:
        for lesson in arm.lessons:
            optional = (lesson.instruct, lesson.pair, lesson.refine)
            yield from (*lesson.annotate, *lesson.sample, *(key for key in optional if key is not None))
            for one in lesson.earlier:
                yield from one.keys
    for scored in results.rounds:
        yield from scored.cell.keys
    for rows in (results.pairs, results.training, results.demonstrations, results.teacher_scores):
        yield from (row.key for row in rows)


def _accuracies(results: Results, infos: Mapping[str, Json]) -> Iterator[_Claim]:
    for cell in (*results.cells, *(one.cell for one in results.rounds)):
        stored = [
            seed_score(score.seed, score.key, cell.prompting, infos[score.key]) if score.key in infos else score
            for score in cell.seeds
        ]
        yield f"the accuracy on {cell.benchmark}", cell, summarised(cell, stored)
        for score in cell.seeds:
            for row in infos[score.key]["scores"] if score.key in infos else ():
                yield "a benchmark", (cell.benchmark, cell.domain), (row["benchmark"], row["domain"])
    for change in results.changes:
        yield "a change of accuracy", change, _recomputed(results, change)


def _recomputed(results: Results, change: Change) -> Change:
    before, after = results.ends(change)
    earlier = {score.seed: score for score in before.seeds}
    parts = [style_and_skill(earlier[score.seed], score) for score in after.seeds if score.seed in earlier]
    if not parts:
        return replace(change, value=after.value - before.value, style=0.0, skill=0.0)
    value, paired = statistics.fmean(style + skill for style, skill in parts), change.paired
    if paired is not None:
        # Where every question is in the test, it is of the accuracies' own difference.
        whole = paired.n == before.n == after.n
        paired = replace(
            paired, gained=paired.lost + sum(paired.changes), difference=value if whole else paired.difference
        )
    return replace(
        change,
        value=value,
        style=statistics.fmean(style for style, _ in parts),
        skill=statistics.fmean(skill for _, skill in parts),
        paired=paired,
    )


def _counts(results: Results, infos: Mapping[str, Json]) -> Iterator[_Claim]:
    for pairs in results.pairs:
        if pairs.key in infos:
            yield f"the pairs {pairs.label}", pairs, pairs_told(pairs.key, pairs.label, infos[pairs.key])
    for one in results.training:
        if one.key in infos:
            yield f"{one.stage} {one.label}", one, training_told(one.stage, one.key, one.label, infos[one.key])
    for given in results.demonstrations:
        if given.key in infos:
            yield f"what {given.label} gave", given, demonstrations_told(given.key, given.label, infos[given.key])
    for score in results.teacher_scores:
        if score.key in infos:
            found = teacher_score_told(
                score.key, score.teacher, score.benchmark, score.split, score.prompting, infos[score.key]
            )
            yield f"the accuracy of {score.teacher}", score, found
    asked = [stage.key for stage in results.stages if stage.stage == Annotate.name]
    if all(key in infos for key in asked):
        used = usage_told([infos[key] for key in asked])
        if any(arm.fraction < 1 for arm in results.arms):
            # Shares have replies in common, which their stages tell of each.
            said = results.usage
            used = replace(
                said,
                prompt_tokens=min(said.prompt_tokens, used.prompt_tokens),
                completion_tokens=min(said.completion_tokens, used.completion_tokens),
            )
        yield "what teachers used", results.usage, used


def _taken(results: Results, infos: Mapping[str, Json]) -> Iterator[_Claim]:
    if results.contest is None:
        return
    rounds = [one for arm in results.arms for lesson in arm.lessons for one in lesson.rounds]
    if all(key in infos for one in rounds for key in one.keys):
        seconds = {stage.key: stage.seconds for stage in results.stages}
        found = contenders(results.arms, results.cells, infos, seconds)
        yield "what the strategies took", results.contest.contenders, found


def _alike(said: Any, found: Any) -> bool:
    """Whether two values of plain data are the same but for the last digits, which may differ between machines."""
    if isinstance(said, float) and isinstance(found, int | float):
        return math.isclose(said, found, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(said, dict) and isinstance(found, dict):
        return said.keys() == found.keys() and all(_alike(said[name], found[name]) for name in said)
    if isinstance(said, list | tuple) and isinstance(found, list | tuple):
        return len(said) == len(found) and all(map(_alike, said, found))
    return bool(said == found)
