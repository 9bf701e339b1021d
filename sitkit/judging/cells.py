"""What of a run is judged: its students' answers by phase, prompting and benchmark, read from the evaluate stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitkit.errors import ArtifactError, DataError, RecipeError, RunNotFoundError, suggestion
from sitkit.report.questions import TestQuestions
from sitkit.rows import read_rows
from sitkit.stages import Evaluate
from sitkit.stages.evaluate import PREDICTIONS
from sitkit.store import Artifact, Store
from sitkit.types import Json, Phase, Prediction, Prompting, Question

ABOUT = ("student", "teacher", "strategy", "train_on", "refine_on", "fraction", "method", "seed")
"""The fields of a score that say whose it is; what the arms of a run that share it do not agree on is blank."""


@dataclass(frozen=True)
class Choice:
    """What to judge: phases and promptings, ``benchmarks`` (None: all that were scored), and which seed of the run."""

    phases: Sequence[Phase]
    promptings: Sequence[Prompting]
    benchmarks: Sequence[str] | None
    run_seed: int


@dataclass(frozen=True)
class Cell:
    """One student's answers under one prompting to one benchmark, after one phase: question id -> completion."""

    about: Mapping[str, Json]
    phase: Phase
    prompting: Prompting
    benchmark: str
    key: str
    answers: Mapping[str, str]


def find_cells(results: Json, run: Path, store: Store, choice: Choice) -> list[Cell]:
    """Return the cells of a run's ``results`` (its results.json; ``run`` is its folder) that were chosen.

    Raises `RecipeError` if the run has none, `RunNotFoundError` if their answers are no longer stored and
    `ArtifactError` if they are damaged, each saying what to do.
    """
    read = _Reader(store, run)
    cells = []
    for row in _chosen(results["scores"], choice):
        key = str(read.checked(row))
        about = {name: row[name] for name in ABOUT if name in row}
        answers = read.answers(key, row["prompting"])
        cells.append(Cell(about, row["phase"], row["prompting"], row["benchmark"], key, answers))
    return cells


def _chosen(rows: Sequence[Mapping[str, Json]], choice: Choice) -> list[Mapping[str, Json]]:
    seeds = sorted({int(row["seed"]) for row in rows})
    if choice.run_seed not in seeds:
        raise RecipeError(f"the run has no seed {choice.run_seed} (its seeds: {', '.join(map(str, seeds))})")
    scored = list(dict.fromkeys(str(row["benchmark"]) for row in rows))
    for name in choice.benchmarks or ():
        if name not in scored:
            raise RecipeError(f"the run was not scored on {name!r}{suggestion(name, scored)}")
    wanted = scored if choice.benchmarks is None else choice.benchmarks
    found = [
        row
        for row in rows
        if row["seed"] == choice.run_seed
        and row["benchmark"] in wanted
        and row["phase"] in choice.phases
        and row["prompting"] in choice.promptings
    ]
    if not found:
        raise RecipeError(f"the run has no answers of {', '.join(choice.phases)} under {', '.join(choice.promptings)}")
    return found


@dataclass
class _Reader:
    """Reads each stored stage once, and says the same thing about each that cannot be read."""

    store: Store
    run: Path

    def __post_init__(self) -> None:
        self._read: dict[str, list[Prediction]] = {}

    def again(self) -> str:
        return (
            f"`sitkit run --config {self.run}/recipe.yaml --name {self.run.name} --workspace {self.store.workspace}`"
            " makes what is missing"
        )

    def checked(self, row: Mapping[str, Json]) -> Json:
        if "key" not in row:
            raise RunNotFoundError(
                f"{self.run}: its results do not say where the answers lie (an older sitkit wrote them); {self.again()}"
            )
        return row["key"]

    def answers(self, key: str, prompting: Prompting) -> dict[str, str]:
        if key not in self._read:
            self._read[key] = read_rows(self._artifact(key).folder / PREDICTIONS, Prediction)
        return {one.question_id: one.completion for one in self._read[key] if one.prompting == prompting}

    def _artifact(self, key: str) -> Artifact:
        try:
            artifact = self.store.find(Evaluate.name, key)
        except ArtifactError as error:
            raise ArtifactError(f"{error}; {self.again()}") from error
        if artifact is None:
            where = self.store.folder(Evaluate.name, key)
            raise RunNotFoundError(f"answers of {self.run.name} are no longer stored ({where}); {self.again()}")
        return artifact


def find_questions(cells: Iterable[Cell], questions: TestQuestions) -> dict[str, dict[str, Question]]:
    """Return benchmark -> question id -> question for all cells.

    Raises `DataError` if a benchmark's questions cannot be had, or are no longer those the run was scored on.
    """
    found: dict[str, dict[str, Question]] = {}
    for cell in cells:
        if cell.benchmark not in found:
            found[cell.benchmark] = dict(questions.of(cell.benchmark, int(cell.about["seed"]), cell.key))
            if cell.benchmark in questions.missing:
                raise DataError(
                    f"the questions of {cell.benchmark} cannot be shown to a judge: {questions.missing[cell.benchmark]}"
                )
    return found
