"""One judging of a run from end to end: find the answers, draw the questions, ask, rate, write it down."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.capabilities import PaidEndpoint
from sitkit.components import Components
from sitkit.errors import RecipeError
from sitkit.execution.events import Listener, Notice, StageFinished, StageProgress, StageStarted, StageWaiting
from sitkit.judging.cells import Choice, Judged, RunAnswers
from sitkit.judging.items import Item, draw, make_items
from sitkit.judging.judge import Judge
from sitkit.judging.judgement import file_stem, item_rows, make_judgement, notices, rate
from sitkit.registry import Registry
from sitkit.report.judgements import JUDGEMENTS
from sitkit.report.results import load_results
from sitkit.results.artifacts import Stored
from sitkit.results.questions import TestQuestions
from sitkit.store import Store, disk_errors, make_key, write_atomically
from sitkit.types import Generation, Json, Prompting, StageInfo


@dataclass(frozen=True)
class Request:
    """What a user asks for. ``run`` is the run's folder; ``run_seed=None`` is the run's first seed."""

    run: Path
    judge: str
    phases: Sequence[Judged]
    promptings: Sequence[Prompting]
    benchmarks: Sequence[str] | None
    run_seed: int | None
    sample: int
    seed: int
    max_new_tokens: int
    temperature: float


@dataclass(frozen=True)
class Prepared:
    """What will be judged, by whom; nothing is asked yet. ``asked`` says it in plain data."""

    run: Path
    store: Store
    judge: Judge
    items: Sequence[Item]
    asked: dict[str, Json]

    def estimate(self) -> dict[str, Json]:
        """Return what it would take; ``remote`` tells whether the judge is an endpoint, with tokens to count."""
        prompts = {item.prompt.id for item in self.items}
        found = self.judge.estimate(self.items)
        return {
            "answers": len(self.items),
            "questions": sum(self.asked["questions"].values()),
            "prompts": len(prompts),
            "replied": len(prompts) - found.calls,
            "calls": found.calls,
            "prompt_tokens": found.prompt_tokens,
            "completion_tokens": found.completion_tokens,
            "cost": found.cost,
            "remote": isinstance(self.judge.part.made, PaidEndpoint),
        }


def prepare(request: Request, registry: Registry) -> Prepared:
    """Find the answers of a run and draw from them. Raises a `SitkitError` saying what is missing and what to do."""
    results = load_results(request.run)
    # A run's folder lies in its workspace, whichever workspace is the default here.
    workspace = request.run.parent.parent
    store = Store(workspace)
    recipe = results["recipe"]
    data_dir = None if recipe.get("data_dir") is None else Path(recipe["data_dir"])
    generation = Generation(request.max_new_tokens, request.temperature, stop=())
    judge = Judge(Components(registry, data_dir, drop_duplicates=False).teacher(request.judge), generation, store)
    run_seed = recipe["seeds"][0] if request.run_seed is None else request.run_seed
    choice = Choice(request.phases, request.promptings, request.benchmarks, run_seed)
    answers = RunAnswers(results, request.run, store, choice)
    questions = answers.questions(TestQuestions(results, Stored(workspace), registry))
    cells = answers.cells(questions)
    drawn = draw(cells, request.sample, request.seed)
    if not any(drawn.values()):
        raise RecipeError(f"{request.run.name}: no question was answered in every phase that is to be judged")
    asked = {
        "run": request.run.name,
        "run_seed": run_seed,
        "sample": request.sample,
        "seed": request.seed,
        "phases": list(request.phases),
        "promptings": list(request.promptings),
        "questions": {benchmark: len(ids) for benchmark, ids in drawn.items()},
        "stages": sorted({cell.key for cell in cells if cell.key}),
    }
    return Prepared(request.run, store, judge, list(make_items(cells, drawn, questions)), asked)


def carry_out(
    prepared: Prepared, listener: Listener, *, max_cost: float | None, max_failures: float
) -> tuple[dict[str, Json], Path]:
    """Ask for what is missing, write the judgements and their items, and return the judgements and where they lie.

    They replace what the same judge said of the run before; other judges' stay. Raises as `Judge.ask` does.
    """
    judge, store = prepared.judge, prepared.store
    folder = prepared.run / JUDGEMENTS
    key = make_key({"judge": judge.part.spec})
    info = StageInfo("judge", f"{prepared.run.name} by {judge.part.spec}", key, folder)
    started = time.monotonic()
    store.prepare()
    with disk_errors(store.workspace):
        listener(StageStarted(info, 1, 1))
        asking = judge.ask(
            prepared.items,
            max_cost=max_cost,
            max_failures=max_failures,
            progress=lambda done, total: listener(StageProgress(info, done, total)),
            waiting=lambda: listener(StageWaiting(info)),
        )
        rated = rate(prepared.items, asking.replies)
        judgement = make_judgement(
            judge.part, judge.generation, rated, asking.replies, asking.usage().as_json(), prepared.asked
        )
        folder.mkdir(exist_ok=True)
        stem = file_stem(judge.part.spec, key)
        rows = (json.dumps(row, ensure_ascii=False) for row in item_rows(rated, asking.replies))
        # The items first: judgements that are there have their items.
        write_atomically(folder / f"{stem}.jsonl", "".join(f"{row}\n" for row in rows))
        path = folder / f"{stem}.json"
        write_atomically(path, json.dumps(judgement, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for text in notices(judgement):
        listener(Notice(text))
    listener(StageFinished(info, time.monotonic() - started, reused=False, info={}))
    return judgement, path
