"""Have a student complete prompts, each answer on disk before it counts, and only the missing ones after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from sitkit.components import Component
from sitkit.errors import PluginError
from sitkit.stages.base import Work
from sitkit.store import Journal
from sitkit.types import Completion, Generation, Prompt, Student

COMPLETIONS = "completions.jsonl"


def complete_all(
    work: Work, student: Component[Student], adapter: Path | None, prompts: Sequence[Prompt], generation: Generation
) -> dict[str, Completion]:
    """Return prompt id -> completion for every prompt. Raises `PluginError` if the student leaves one out."""
    with Journal(work.scratch / COMPLETIONS) as journal:
        return complete_into(journal, student, adapter, prompts, generation, work.progress)


def complete_into(
    journal: Journal,
    student: Component[Student],
    adapter: Path | None,
    prompts: Sequence[Prompt],
    generation: Generation,
    progress: Callable[[int, int], None],
    *,
    before: int = 0,
) -> dict[str, Completion]:
    """Complete the prompts the journal lacks and return prompt id -> completion for all of them.

    ``before`` is how many others this stage has completed, from which its progress goes on.
    """
    missing = [prompt for prompt in prompts if prompt.id not in journal.rows]
    wanted = {prompt.id for prompt in missing}
    done, total = before + len(prompts) - len(missing), before + len(prompts)
    progress(done, total)
    for completion in _completions(student, adapter, missing, generation):
        if completion.id not in wanted:
            raise PluginError(
                f"{student}: completed {completion.id!r}, which was not asked for, or is completed already"
            )
        wanted.remove(completion.id)
        journal.append(completion.id, json.dumps([completion.text, completion.truncated, completion.tokens]))
        done += 1
        progress(done, total)
    if wanted:
        raise PluginError(f"{student}: returned no completion for {len(wanted)} of {len(prompts)} prompts")
    return {prompt.id: Completion(prompt.id, *json.loads(journal.rows[prompt.id])) for prompt in prompts}


def written(completions: Collection[Completion]) -> dict[str, int]:
    """Return how many tokens the completions took, as what a stage tells; nothing where one was not counted."""
    counts = [one.tokens for one in completions if one.tokens is not None]
    return {"written": sum(counts)} if len(counts) == len(completions) else {}


def _completions(
    student: Component[Student], adapter: Path | None, missing: Sequence[Prompt], generation: Generation
) -> Iterator[Completion]:
    if missing:
        with student.calling("complete"):
            given = student.made.complete(adapter, missing, generation)
        yield from student.completions("complete", given)
