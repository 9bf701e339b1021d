"""What of a run is judged: the answers of its students by phase, of its teachers, and the targets themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sitkit.errors import ArtifactError, DataError, RecipeError, RunNotFoundError, suggestion
from sitkit.results.questions import TestQuestions
from sitkit.stages import Annotate, Evaluate
from sitkit.stages.annotate import DEMONSTRATIONS
from sitkit.stages.evaluate import PREDICTIONS
from sitkit.store import Store
from sitkit.store.jsonl import read_rows
from sitkit.types import PHASES, Demonstration, Json, Prediction, Prompting, Question

Judged = Literal["baseline", "instruct", "refine", "teacher", "target"]

JUDGED: tuple[Judged, ...] = (*PHASES, "teacher", "target")
"""Whose answers can be judged: a student's after each phase (Table 14), the teacher's and the target (Table 13)."""

ABOUT = ("student", "teacher", "strategy", "train_on", "refine_on", "fraction", "method", "seed")
"""The fields of a score that say whose it is; what the arms of a run that share it do not agree on is blank."""

Row = Mapping[str, Json]
RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Choice:
    """What to judge: phases and promptings, ``benchmarks`` (None: all that were scored), and which seed of the run."""

    phases: Sequence[Judged]
    promptings: Sequence[Prompting]
    benchmarks: Sequence[str] | None
    run_seed: int


@dataclass(frozen=True)
class Cell:
    """One party's answers under one prompting to one benchmark: question id -> completion.

    ``key`` is that of the stage that holds them, empty for targets.
    """

    about: Mapping[str, Json]
    phase: Judged
    prompting: Prompting
    benchmark: str
    key: str
    answers: Mapping[str, str]


@dataclass
class RunAnswers:
    """Reads the answers of a run: ``results`` is its results.json, ``folder`` its folder, ``store`` its workspace's.

    Everything raises `RunNotFoundError` where answers are no longer stored and `ArtifactError` where they are
    damaged, saying what to do.
    """

    results: Json
    folder: Path
    store: Store
    choice: Choice
    _read: dict[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._scored = _chosen(self.results["scores"], self.choice)

    def questions(self, texts: TestQuestions) -> dict[str, dict[str, Question]]:
        """Return benchmark -> id -> question, of those that were scored.

        Raises `DataError` if a benchmark's questions cannot be had, or are no longer those the run was scored on.
        """
        found = {}
        for name, row in self._first().items():
            scored = {one.question_id for one in self._rows(Evaluate.name, _key(row, self._again()), Prediction)}
            every = texts.of(name, int(row["seed"]), str(row["key"]))
            if name in texts.missing:
                raise DataError(f"the questions of {name} cannot be shown to a judge: {texts.missing[name]}")
            found[name] = {one: question for one, question in every.items() if one in scored}
        return found

    def cells(self, questions: Mapping[str, Mapping[str, Question]]) -> list[Cell]:
        """Return the cells chosen. Raises `RecipeError` if the run has none, or none of a phase asked for."""
        cells = [*self._students()]
        if "teacher" in self.choice.phases:
            cells += self._teachers()
        if "target" in self.choice.phases:
            cells += self._targets(questions)
        missing = [phase for phase in self.choice.phases if not any(cell.phase == phase for cell in cells)]
        if "teacher" in missing:
            raise RecipeError(
                f"the run holds no answers of its teacher to test questions; {self._again(' --eval-teacher')}"
            )
        if not cells:
            raise RecipeError(f"the run has no answers of the phases {', '.join(missing)}")
        return cells

    def _students(self) -> Iterator[Cell]:
        for row in self._scored:
            if row["phase"] in self.choice.phases and row["prompting"] in self.choice.promptings:
                key = _key(row, self._again())
                predictions = self._rows(Evaluate.name, key, Prediction)
                answers = {one.question_id: one.completion for one in predictions if one.prompting == row["prompting"]}
                about = {name: row[name] for name in ABOUT if name in row}
                yield Cell(about, row["phase"], row["prompting"], row["benchmark"], key, answers)

    def _teachers(self) -> Iterator[Cell]:
        for row in self.results.get("teacher_accuracy", ()):
            wanted = row["benchmark"] in self._first() and row["prompting"] in self.choice.promptings
            if wanted and row["split"] == "test":
                key = str(row["key"])
                given = self._rows(Annotate.name, key, Demonstration)
                about = {"student": "", "teacher": row["teacher"], "seed": self.choice.run_seed}
                answers = {one.question_id: one.completion for one in given}
                yield Cell(about, "teacher", row["prompting"], row["benchmark"], key, answers)

    def _targets(self, questions: Mapping[str, Mapping[str, Question]]) -> Iterator[Cell]:
        about = {"student": "", "teacher": "", "seed": self.choice.run_seed}
        for name, asked in questions.items():
            answers = {one: question.target_text for one, question in asked.items()}
            yield Cell(about, "target", "direct", name, "", answers)

    def _first(self) -> dict[str, Row]:
        return {str(row["benchmark"]): row for row in reversed(self._scored)}

    def _rows(self, stage: str, key: str, noun: type[RowT]) -> Sequence[RowT]:
        # A matrix names the same baseline in many places.
        if key not in self._read:
            self._read[key] = self._read_rows(stage, key, noun)
        return self._read[key]

    def _read_rows(self, stage: str, key: str, noun: type[RowT]) -> Sequence[RowT]:
        try:
            artifact = self.store.find(stage, key)
        except ArtifactError as error:
            raise ArtifactError(f"{error}; {self._again()}") from error
        if artifact is None:
            where = self.store.folder(stage, key)
            raise RunNotFoundError(f"answers of {self.folder.name} are no longer stored ({where}); {self._again()}")
        return read_rows(artifact.folder / (PREDICTIONS if stage == Evaluate.name else DEMONSTRATIONS), noun)

    def _again(self, more: str = "") -> str:
        return (
            f"`sitkit run --config {self.folder}/recipe.yaml --name {self.folder.name}"
            f" --workspace {self.store.workspace}{more}` makes what is missing"
        )


def _chosen(rows: Sequence[Row], choice: Choice) -> list[Row]:
    seeds = sorted({int(row["seed"]) for row in rows})
    if choice.run_seed not in seeds:
        raise RecipeError(f"the run has no seed {choice.run_seed} (its seeds: {', '.join(map(str, seeds))})")
    scored = list(dict.fromkeys(str(row["benchmark"]) for row in rows))
    for name in choice.benchmarks or ():
        if name not in scored:
            raise RecipeError(f"the run was not scored on {name!r}{suggestion(name, scored)}")
    wanted = scored if choice.benchmarks is None else choice.benchmarks
    return [row for row in rows if row["seed"] == choice.run_seed and row["benchmark"] in wanted]


def _key(row: Row, again: str) -> str:
    if "key" not in row:
        raise RunNotFoundError(f"the results do not say where the answers lie (an older sitkit wrote them); {again}")
    return str(row["key"])
