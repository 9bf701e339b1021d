"""One judging of a run from end to end: find the answers, draw the questions, ask, rate, write it down."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sitkit
from sitkit.capabilities import PaidEndpoint
from sitkit.components import Components
from sitkit.errors import RecipeError
from sitkit.execution.events import (
    Listener,
    Notice,
    StageFinished,
    StageProgress,
    StageStarted,
    StageWaiting,
    StatusMessage,
    receive_notices,
)
from sitkit.judging.answers import Choice, Item, RunAnswers, draw, make_items
from sitkit.judging.averages import failures, item_rows, mean_ratings, notices, outcomes, rate, rating_changes
from sitkit.judging.judge import Judge
from sitkit.judging.prompt import PROMPT_SOURCE
from sitkit.judging.reading import READER_VERSION
from sitkit.registry import Registry
from sitkit.report.write import write_report
from sitkit.results.arms import by_first_names
from sitkit.results.files import load_results, workspace_of
from sitkit.results.judgements import JUDGEMENTS, Judged, Judgement, write_judgement
from sitkit.results.model import Results, Usage
from sitkit.results.questions import TestQuestions
from sitkit.results.rows import StoredRows
from sitkit.store import Store, disk_errors, make_key, write_atomically
from sitkit.types import Generation, Json, Prompting, StageInfo


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for. ``run`` is the run's folder; ``run_seed=None`` is the run's first seed.

    ``wanted`` takes the students that are so (`sitkit.results.arms.PICKERS`; None: any), ``own_tasks`` their answers to
    the tasks they were trained and refined on. At most ``max_cost`` US dollars are spent (None: no limit); at most the
    share ``max_failures`` of replies may fail.
    """

    run: Path
    judge: str
    phases: Sequence[Judged]
    promptings: Sequence[Prompting]
    benchmarks: Sequence[str] | None
    run_seed: int | None
    wanted: Mapping[str, Json] = field(default_factory=dict)
    own_tasks: bool = False
    sample: int
    seed: int
    max_new_tokens: int
    temperature: float
    max_cost: float | None
    max_failures: float


@dataclass(frozen=True)
class Prepared:
    """What will be judged, by whom; nothing is asked yet. ``questions`` counts those drawn of each benchmark."""

    request: Request
    registry: Registry
    results: Results
    judge: Judge
    run_seed: int
    items: Sequence[Item]
    questions: dict[str, int]
    stages: tuple[str, ...]

    def estimate(self) -> dict[str, Json]:
        """Return what it would take; ``remote`` tells whether the judge is an endpoint, with tokens to count."""
        prompts = {item.prompt.id for item in self.items}
        found = self.judge.estimate(self.items)
        return {
            "answers": len(self.items),
            "questions": sum(self.questions.values()),
            "prompts": len(prompts),
            "replied": len(prompts) - found.calls,
            "calls": found.calls,
            "prompt_tokens": found.prompt_tokens,
            "completion_tokens": found.completion_tokens,
            "cost": found.cost,
            "pricing": found.pricing,
            "remote": isinstance(self.judge.part.made, PaidEndpoint),
        }

    def close(self) -> None:
        """Free what the judge loaded."""
        self.judge.part.made.close()


def prepare(request: Request, registry: Registry) -> Prepared:
    """Find the answers of a run and draw from them. Raises a `SitkitError` saying what is missing and what to do."""
    results = load_results(request.run, registry)
    workspace = workspace_of(request.run)
    store = Store(workspace)
    data_dir = results.recipe.get("data_dir")
    components = Components(registry, None if data_dir is None else Path(data_dir), drop_duplicates=False)
    generation = Generation(request.max_new_tokens, request.temperature, stop=())
    judge = Judge(components.teacher(request.judge), generation, store)
    run_seed = results.recipe["seeds"][0] if request.run_seed is None else request.run_seed
    wanted = by_first_names(request.wanted, registry, results.recipe.get("questions", ()))
    choice = Choice(request.phases, request.promptings, request.benchmarks, run_seed, wanted, request.own_tasks)
    run = RunAnswers(results, request.run, store, choice)
    questions = run.questions(TestQuestions(results, StoredRows(workspace), registry))
    answers = run.answers(questions)
    drawn = draw(answers, request.sample, request.seed)
    if not any(drawn.values()):
        raise RecipeError(f"{request.run.name}: no question was answered in every phase that is to be judged")
    return Prepared(
        request,
        registry,
        results,
        judge,
        run_seed,
        items=list(make_items(answers, drawn, questions)),
        questions={benchmark: len(ids) for benchmark, ids in drawn.items()},
        stages=tuple(sorted({one.key for one in answers if one.key})),
    )


def carry_out(prepared: Prepared, listener: Listener) -> tuple[Judgement, Path]:
    """Ask for what is missing, write the judgement, its items and the run's report, and return it and where it lies.

    It replaces what the same judge said of the run before; other judges' stay. Raises as `Judge.ask` does.
    """
    request, judge = prepared.request, prepared.judge
    folder = request.run / JUDGEMENTS
    key = make_key({"judge": judge.part.spec})
    info = StageInfo("judge", f"{request.run.name} by {judge.part.spec}", key, folder)
    started = time.monotonic()
    judge.store.prepare()
    with disk_errors(judge.store.workspace):
        listener(StageStarted(info, 1, 1))
        with receive_notices(lambda text: listener(Notice(text)), lambda text: listener(StatusMessage(info, text))):
            session = judge.ask(
                prepared.items,
                max_cost=request.max_cost,
                max_failures=request.max_failures,
                progress=lambda done, total: listener(StageProgress(info, done, total)),
                waiting=lambda: listener(StageWaiting(info)),
            )
        rated = rate(prepared.items, session.replies)
        counts = outcomes(rated, session.replies)
        judgement = Judgement(
            judge=judge.part.spec,
            judge_fingerprint=judge.part.fingerprint,
            prompt=PROMPT_SOURCE,
            reader=READER_VERSION,
            sitkit=sitkit.__version__,
            run=request.run.name,
            run_seed=prepared.run_seed,
            sample=request.sample,
            seed=request.seed,
            phases=tuple(request.phases),
            promptings=tuple(request.promptings),
            questions=prepared.questions,
            stages=prepared.stages,
            generation=judge.generation,
            calls=sum(counts.values()),
            outcomes=counts,
            ratings=tuple(mean_ratings(rated)),
            changes=tuple(rating_changes(rated)),
            failures=tuple(failures(rated, session.replies)),
            usage=Usage(**session.usage().as_json()),
        )
        folder.mkdir(exist_ok=True)
        path = folder / f"{_file_stem(judge.part.spec, key)}.json"
        rows = (json.dumps(row, ensure_ascii=False) for row in item_rows(rated, session.replies))
        # The items first: judgements that are there have their items.
        write_atomically(path.with_suffix(".jsonl"), "".join(f"{row}\n" for row in rows))
        judgement = write_judgement(path, judgement)
    for text in notices(judgement):
        listener(Notice(text))
    listener(StageFinished(info, time.monotonic() - started, reused=False, info={}))
    write_report(request.run, prepared.results, prepared.registry)
    return judgement, path


def _file_stem(spec: str, digest: str) -> str:
    # The digest tells SPECs apart that make the same slug.
    slug = re.sub(r"[^A-Za-z0-9+_.-]+", "-", spec).strip("-.")
    return f"{slug[:60]}_{digest[:8]}"
