"""What a student was trained on as a data set: demonstrations and preference pairs in TRL's columns, with a card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sitkit.components import Selection
from sitkit.errors import RecipeError, RunNotFoundError
from sitkit.publish.card import README, escaped, stage_settings
from sitkit.publish.export import moved, staging
from sitkit.publish.redact import Redactor
from sitkit.registry import Registry
from sitkit.results.arms import Chosen, by_first_names, choose
from sitkit.results.files import again, load_results, workspace_of
from sitkit.results.model import Results
from sitkit.results.rows import StoredRows
from sitkit.stages.annotate import DEMONSTRATIONS, Taken, kept_of
from sitkit.stages.pair import PAIRS
from sitkit.store import Store, disk_errors
from sitkit.store.jsonl import read_rows, write_rows
from sitkit.types import Demonstration, Json, PreferencePair

ANSWERS = "answers"
_TEMPLATE = Path(__file__).with_name("dataset.md.jinja")
_NOT_STATED = "not stated"


def export_data(
    results_folder: Path,
    directory: Path,
    *,
    registry: Registry,
    wanted: Mapping[str, Any] | None = None,
    license: str | None = None,
) -> Path:
    """Write the data that one student of a run was trained on to ``directory``, and return it.

    ``demonstrations.jsonl`` has prompt and completion, ``pairs.jsonl`` prompt, chosen and rejected, ``answers.jsonl``
    (where the strategy gave any) prompts and answers without one to reject. A completion begins with the blank that
    parts it from the prompt, so that TRL's plain texts are those that were trained on. With several rounds of refining
    each row says of which it is. ``wanted`` says which student, as in `sitkit.publish.export.export`; ``license`` is
    the hub's name of a licence for the card. Raises `RecipeError` where the folder is not empty or several students
    fit, and `RunNotFoundError` where a stage is not stored.
    """
    results = load_results(results_folder, registry)
    store, directory = Store(workspace_of(results_folder)), directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RecipeError(f"{directory} is not an empty folder; choose another")
    phase: Literal["instruct", "refine"] = (
        "refine" if any(lesson.refine for arm in results.arms for lesson in arm.lessons) else "instruct"
    )
    asked = by_first_names(wanted or {}, registry, results.recipe.get("questions", ()))
    chosen = choose(results, phase, asked, results_folder.name)
    folders = [Path.home(), Path.cwd(), store.workspace, directory.parent]
    redactor = Redactor([*folders, *([Path(data_dir)] if (data_dir := results.recipe.get("data_dir")) else [])])
    rows = dict(_rows(chosen, results_folder, store, redactor))
    with staging(store) as staged, disk_errors(staged):
        staged.mkdir(parents=True)
        for name, found in rows.items():
            write_rows(staged / f"{name}.jsonl", found)
        card = _card(directory.name, chosen, results, StoredRows(store.workspace), rows, redactor, license)
        (staged / README).write_text(card, encoding="utf-8")
        with disk_errors(directory.parent):
            moved(staged, directory)
    return directory


def _rows(
    chosen: Chosen, results_folder: Path, store: Store, redactor: Redactor
) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    lesson, stored = chosen.lesson, StoredRows(store.workspace)

    def folder(stage: str, key: str) -> Path:
        artifact = store.find(stage, key)
        if artifact is None:
            raise RunNotFoundError(
                f"a {stage} stage of {results_folder.name} is not in its store; {again(results_folder)}"
            )
        return artifact.folder

    if lesson.instruct is not None:
        made = (stored.material("instruct", lesson.instruct) or {}).get("settings", {})
        taken, share = Taken(made.get("keep", "right"), made.get("reasoning", "drop")), made.get("share") or {}
        kept = list[Demonstration]()
        for key in lesson.annotate:
            rows = read_rows(folder("annotate", key) / DEMONSTRATIONS, Demonstration)
            own, _ = kept_of(rows, taken)
            if "fraction" in share:
                drawn = Selection(**share).drawn([row.question_id for row in own])
                own = [row for row in own if row.question_id in drawn]
            kept += [row for row in own if row.benchmark in chosen.arm.train_on]
        yield (
            "demonstrations",
            [
                {
                    "prompt": row.prompt,
                    "completion": f" {row.completion.strip()}",
                    "benchmark": row.benchmark,
                    "question_id": row.question_id,
                    "teacher": redactor.spec(row.teacher),
                    "correct": row.correct,
                }
                for row in kept
            ],
        )
    if lesson.rounds:
        pairs = [
            (number, pair)
            for number, made in enumerate(lesson.rounds, 1)
            if made.pair is not None
            for pair in read_rows(folder("pair", made.pair) / PAIRS, PreferencePair)
        ]
        whole, alone = (
            [
                _pair(pair) | ({"round": at} if lesson.earlier else {})
                for at, pair in pairs
                if bool(pair.rejected) == both
            ]
            for both in (True, False)
        )
        if whole:
            yield "pairs", whole
        if alone:
            names = {"chosen": "completion", "chosen_from": "from", "chosen_correct": "correct"}
            yield (
                ANSWERS,
                [
                    {names.get(name, name): value for name, value in row.items() if not name.startswith("rejected")}
                    for row in alone
                ],
            )


def _pair(pair: PreferencePair) -> dict[str, Json]:
    return {
        "prompt": pair.prompt,
        "chosen": f" {pair.chosen.strip()}",
        "rejected": f" {pair.rejected.strip()}",
        "benchmark": pair.benchmark,
        "question_id": pair.question_id,
        "chosen_from": pair.chosen_from,
        "chosen_correct": pair.chosen_correct,
        "rejected_correct": pair.rejected_correct,
    }


def _card(
    title: str,
    chosen: Chosen,
    results: Results,
    stored: StoredRows,
    rows: Mapping[str, list[dict[str, Json]]],
    redactor: Redactor,
    license: str | None,
) -> str:
    from huggingface_hub import DatasetCard, DatasetCardData

    arm, lesson = chosen.arm, chosen.lesson
    made_by = {
        "annotate": (lesson.annotate[:1], "generation"),
        "sample": (lesson.sample[:1], "settings"),
        "pair": (tuple(filter(None, [lesson.pair])), "settings"),
    }
    settings = {
        stage: stage_settings(stored, stage, keys[0]).get(name, {}) for stage, (keys, name) in made_by.items() if keys
    }
    data = DatasetCardData(
        license=license,
        tags=["sitkit", "self-refine-instruction-tuning", "trl"],
        task_categories=["text-generation"],
        pretty_name=title,
        configs=[{"config_name": name, "data_files": f"{name}.jsonl"} for name in rows],
    )
    asked, benchmarks = results.recipe, list(dict.fromkeys((*arm.train_on, *arm.refine_on)))
    context = {
        "title": escaped(title),
        "rows": {name: len(found) for name, found in rows.items()},
        "benchmarks": benchmarks,
        "own": [name for name in benchmarks if name in (asked.get("questions") or ())],
        "teacher": redactor.spec(arm.teacher).replace("`", "'"),
        "student": redactor.spec(arm.student).replace("`", "'"),
        "strategy": redactor.spec(arm.strategy).replace("`", "'"),
        "seed": lesson.seed,
        "fraction": f"{arm.fraction:g}",
        "limit": asked.get("limit") or "none",
        "settings": {
            stage: ", ".join(f"{name} {redactor.value(value)}" for name, value in found.items())
            for stage, found in settings.items()
            if found
        },
        "version": results.versions.get("sitkit", "?"),
        "license": license or _NOT_STATED,
        "not_stated": _NOT_STATED,
    }
    return str(DatasetCard.from_template(data, template_path=str(_TEMPLATE), **context))
