"""What a plan would take: which stages are stored, which prompts will be answered, what teachers would cost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from sitkit.capabilities import PaidEndpoint
from sitkit.errors import ArtifactError
from sitkit.plan import Plan, one_by_one
from sitkit.stages import Annotate, Node, journal_path, read_replies
from sitkit.store import Artifact, Journal, Store
from sitkit.types import Estimate, Prompt


@dataclass(frozen=True)
class Forecast:
    """Per key: what is ``stored``, and the prompts every other stage will answer; ``estimate`` sums the teachers' calls
    (None where no teacher is behind an endpoint).

    ``alone_stages`` and ``alone_prompts``: what a script would run that makes every score by itself.
    """

    stored: Mapping[str, Artifact]
    prompts: Mapping[str, int]
    estimate: Estimate | None
    alone_stages: int
    alone_prompts: int


def forecast(plan: Plan, store: Store) -> Forecast:
    """Return what a plan would take. Loads the questions; asks nobody."""
    done = stored(plan, store)
    prompts, estimates = dict[str, int](), list[Estimate]()
    for one in plan.nodes:
        if one.key not in done:
            stage = one.stage
            if isinstance(stage, Annotate):
                missing = unanswered(stage, store)
                prompts[one.key] = len(missing)
                if isinstance(stage.teacher.made, PaidEndpoint):
                    with stage.teacher.calling("estimate"):
                        estimates.append(stage.teacher.made.estimate(missing, stage.generation))
            else:
                prompts[one.key] = stage.prompts()
    counts: dict[str, int] = {}
    alone = [one.key for one in one_by_one(plan)]
    for key in dict.fromkeys(alone):
        counts[key] = plan.by_key[key].stage.prompts()
    return Forecast(
        stored=done,
        prompts=prompts,
        estimate=total(estimates) if estimates else None,
        alone_stages=len(alone),
        alone_prompts=sum(counts[key] for key in alone),
    )


def unanswered(stage: Annotate, store: Store) -> list[Prompt]:
    """Return the prompts a teacher has not answered yet, as its journal stands."""
    replies = read_replies(Journal.peek(journal_path(store, stage.journal_name())))
    return stage.unanswered({name for name, reply in replies.items() if not reply.failed})


def total(estimates: list[Estimate]) -> Estimate:
    """Return the sum; without a price for each there is none for all."""
    costs = [one.cost for one in estimates]
    return Estimate(
        calls=sum(one.calls for one in estimates),
        prompt_tokens=sum(one.prompt_tokens for one in estimates),
        completion_tokens=sum(one.completion_tokens for one in estimates),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def stored(plan: Plan, store: Store) -> dict[str, Artifact]:
    """Return the artifacts of a plan that are stored whole already; damaged and outdated ones do not count."""
    found: dict[str, Artifact] = {}
    for one in plan.nodes:
        with contextlib.suppress(ArtifactError):
            artifact = store.find(one.stage.name, one.key)
            if artifact is not None and outdated(artifact, one, found) is None:
                found[one.key] = artifact
    return found


def outdated(artifact: Artifact, one: Node, made: Mapping[str, Artifact]) -> str | None:
    """Return the title of an input that is not there or not what the artifact was made from; None if all are.

    Keys name what determines a stage; a stage that was run again, because replies had failed or files were damaged,
    may still have come out otherwise, and what was made from it then no longer holds.
    """
    for source in one.stage.inputs:
        if source.key not in made or made[source.key].content != artifact.made_from.get(source.key):
            return source.title
    return None
