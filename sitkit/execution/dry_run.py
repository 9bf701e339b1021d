"""What a plan would take, without running it: stages, prompts, and what the teachers' calls would cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from sitkit.capabilities import PaidEndpoint
from sitkit.conformance import estimate_fault
from sitkit.execution.freshness import freshness
from sitkit.execution.gpus import Gpu, GpuPlan, OnGpu, misfits
from sitkit.execution.task_checks import check_plan_tasks
from sitkit.plan import Plan, one_by_one
from sitkit.registry import Registry
from sitkit.stages import Annotate, Evaluate, Refine, read_replies
from sitkit.store import Artifact, Journal, Store
from sitkit.types import Estimate, Prompt


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a dry run.

    ``stage`` is its kind (annotate, instruct, sample, pair, refine, evaluate), ``title`` that and what tells it from
    others, ``key`` its key in the store (64 hex digits). ``stored``: it is there and will be reused; otherwise
    ``prompts`` is how many prompts it will answer (0 for training and pairing), without those that a stage before it
    asks the same teacher. ``reason`` says why it has to run although something is stored: a damaged file, an input that
    has changed, replies that failed. ``passes`` is how many times a refining will go over its ``pairs``; where these
    are not chosen yet (``pairs_known`` is false) one is counted for each question, though a strategy may leave
    questions out or take several of one. ``on_gpu`` is what it would take on the card that was asked for, where that is
    known of its model.
    """

    stage: str
    title: str
    key: str
    stored: bool
    prompts: int
    reason: str = ""
    passes: float = 0.0
    pairs: int = 0
    pairs_known: bool = False
    on_gpu: OnGpu | None = None


@dataclass(frozen=True)
class DryRun:
    """What a run would take.

    ``stages`` are in the order in which they would run; ``scores`` counts the scored cells (phase, benchmark, seed and
    arm). ``estimate`` sums the calls to teachers behind an endpoint (None where there is none); its ``cost``, in US
    dollars, is None unless the price of each is known. ``alone_stages`` and ``alone_prompts`` are what a script would
    run that makes each score by itself, sharing nothing. ``gpu`` is the card that was asked for, and ``unknown`` are
    the models of which it is not known what they take on one.
    """

    stages: tuple[PlannedStage, ...]
    scores: int
    estimate: Estimate | None
    alone_stages: int
    alone_prompts: int
    gpu: Gpu | None = None
    unknown: tuple[str, ...] = ()

    @property
    def misfits(self) -> list[str]:
        """A sentence for each model that does not fit the card."""
        found = [(stage.stage, stage.on_gpu) for stage in self.stages if stage.on_gpu is not None]
        return [] if self.gpu is None else misfits(found, self.gpu)

    @property
    def stored(self) -> int:
        """The number of stages that will be reused."""
        return sum(stage.stored for stage in self.stages)

    @property
    def to_run(self) -> int:
        """The number of stages that will run."""
        return len(self.stages) - self.stored

    @property
    def prompts(self) -> int:
        """The number of prompts that will be answered, by teachers and students together."""
        return sum(stage.prompts for stage in self.stages)


def dry_run(plan: Plan, store: Store, registry: Registry | None = None, gpu: Gpu | None = None) -> DryRun:
    """Return what a plan would take, on a ``gpu`` if one is given. Loads the questions; asks nobody, writes nothing.

    With a registry, the lm-eval tasks of scores that are not stored yet are checked; one that is not plain has to be
    loaded, which takes seconds unless a run has checked it. `PluginError` says what is wrong with one.
    """
    made, stages, estimates = dict[str, Artifact](), list[PlannedStage](), list[Estimate]()
    on_gpu = None if gpu is None else GpuPlan(plan, gpu)
    unknown = dict[str, None]()
    # Stages of several shares ask for many of the same questions, each of which is asked once.
    asked = set[tuple[str, str]]()
    for node in plan.nodes:
        stage, found = node.stage, freshness(node, store, made)
        if found.artifact is not None:
            made[node.key] = found.artifact
        prompts = 0
        if not found.holds and isinstance(stage, Annotate):
            name = stage.journal_name()
            missing = [one for one in unanswered(stage, store) if (name, one.id) not in asked]
            asked.update((name, one.id) for one in missing)
            prompts = len(missing)
            if isinstance(stage.teacher.made, PaidEndpoint):
                with stage.teacher.calling("estimate"):
                    estimate = stage.teacher.made.estimate(missing, stage.generation)
                stage.teacher.refuse("estimate", estimate_fault(estimate))
                estimates.append(estimate)
        elif not found.holds:
            prompts = stage.prompts()
        planned = PlannedStage(stage.name, node.title, node.key, found.holds, prompts, found.reason)
        if isinstance(stage, Refine) and not found.holds:
            paired = made.get(stage.paired.key)
            pairs = stage.expected_pairs() if paired is None else int(paired.info["total"])
            planned = replace(planned, passes=stage.passes(pairs), pairs=pairs, pairs_known=paired is not None)
        if on_gpu is not None and not found.holds:
            planned = replace(planned, on_gpu=on_gpu.stage(stage, made, planned.pairs))
            unknown |= dict.fromkeys(on_gpu.unknown(stage))
        stages.append(planned)
    if registry is not None and any(stage.stage == Evaluate.name and not stage.stored for stage in stages):
        check_plan_tasks(plan, store, registry)
    alone = Counter(node.key for node in one_by_one(plan))
    return DryRun(
        stages=tuple(stages),
        scores=len(plan.cells) + len(plan.task_cells),
        estimate=_total(estimates) if estimates else None,
        alone_stages=alone.total(),
        alone_prompts=sum(count * plan.by_key[key].stage.prompts() for key, count in alone.items()),
        gpu=gpu,
        unknown=tuple(unknown),
    )


def unanswered(stage: Annotate, store: Store) -> list[Prompt]:
    """Return the prompts a teacher has not answered yet, as its journal stands."""
    replies = read_replies(Journal.peek(store.journal(stage.journal_name())))
    return stage.unanswered({name for name, reply in replies.items() if not reply.failed})


def _total(estimates: list[Estimate]) -> Estimate:
    costs = [estimate.cost for estimate in estimates]
    return Estimate(
        calls=sum(estimate.calls for estimate in estimates),
        prompt_tokens=sum(estimate.prompt_tokens for estimate in estimates),
        completion_tokens=sum(estimate.completion_tokens for estimate in estimates),
        # Without a price for each there is none for all.
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        pricing="; ".join(
            dict.fromkeys(
                estimate.pricing
                for estimate in estimates
                if estimate.pricing and (estimate.cost is None or None not in costs)
            )
        ),
    )
