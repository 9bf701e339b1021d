"""Watch a refining: training questions kept out of it are answered before and after, so that a collapse is told apart
from a falling loss. Off by default (``refine.watch``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sitkit import answers
from sitkit.answers.thinking import without_thoughts
from sitkit.stages.completions import complete_all
from sitkit.types import Completion, Generation, Prompt, Question

if TYPE_CHECKING:
    from sitkit.components import Component
    from sitkit.settings import EvaluateSettings
    from sitkit.stages.base import Work
    from sitkit.types import Student

_CERTAIN = 0.05
_MOST_LOST_WORK = 0.2


@dataclass(frozen=True)
class Watched:
    """How a student answered the watched questions: which are right, and the counts of worked and of cut answers."""

    right: tuple[bool, ...]
    worked: int
    cut: int


def watched_questions(questions: Sequence[Question], count: int) -> list[Question]:
    """Return ``count`` questions, drawn by a digest of their ids: the same ones for every seed, strategy and round.

    At most half of all are drawn: the rest is there to learn from.
    """
    drawn = sorted(
        questions, key=lambda one: hashlib.sha256(f"watch {one.benchmark} {one.id}".encode("utf-8", "replace")).digest()
    )
    return drawn[: min(count, len(questions) // 2)]


def ask(
    work: Work,
    student: Component[Student],
    when: str,
    adapter: Path,
    questions: Sequence[Question],
    settings: EvaluateSettings,
) -> Watched:
    """Have a student answer with CoT, greedily and as long as it may in ``evaluate``."""
    prompts = [Prompt(f"{when}|{one.benchmark}|{one.id}", one.prompt("cot")) for one in questions]
    done = complete_all(work, student, adapter, prompts, Generation(settings.max_new_tokens, 0.0, 0))
    given: list[Completion] = [done[prompt.id] for prompt in prompts]
    return Watched(
        right=tuple(
            answers.is_correct(question, one.text, settings.match)
            for question, one in zip(questions, given, strict=True)
        ),
        worked=sum(answers.is_worked(without_thoughts(one.text)) for one in given),
        cut=sum(one.truncated for one in given),
    )


def metrics(before: Watched, after: Watched) -> Mapping[str, float]:
    """Return what is kept of them, shares from 0 to 1."""
    count = len(before.right)
    return {
        "watched": float(count),
        "watched_before": sum(before.right) / count,
        "watched_after": sum(after.right) / count,
        "watched_worked_before": before.worked / count,
        "watched_worked_after": after.worked / count,
        "watched_cut_before": before.cut / count,
        "watched_cut_after": after.cut / count,
    }


def faults(before: Watched, after: Watched) -> list[str]:
    """Return a sentence where fewer questions are answered right than before, by McNemar's exact test at 0.05, and one
    where answers are no longer worked, or are cut, in a fifth of the questions more than before.
    """
    from scipy.stats import binomtest

    count = len(before.right)
    changes = list(zip(before.right, after.right, strict=True))
    gained, lost = changes.count((False, True)), changes.count((True, False))
    found = []
    if lost > gained and (p := binomtest(lost, gained + lost, 0.5).pvalue) < _CERTAIN:
        found.append(
            f"fewer are right, {sum(after.right)} where {sum(before.right)} were ({lost} lost, {gained} gained,"
            f" p = {p:.2g})"
        )
    if before.worked - after.worked >= _MOST_LOST_WORK * count:
        found.append(f"fewer are worked out in steps, {after.worked} where {before.worked} were")
    if after.cut - before.cut >= _MOST_LOST_WORK * count:
        found.append(f"more are cut at evaluate.max_new_tokens, {after.cut} where {before.cut} were")
    return found
