"""What of a run is judged: the answers of its students by phase, of its teachers, and the targets themselves.

The same questions are drawn, by seed, for every party.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sitkit.errors import ArtifactError, DataError, RecipeError, RunNotFoundError, suggestion
from sitkit.judging.prompt import judge_prompt, question_text
from sitkit.results.arms import fitting
from sitkit.results.files import again
from sitkit.results.judgements import Judged, Party
from sitkit.results.model import Cell, Results, SeedScore, seeds_of
from sitkit.results.questions import TestQuestions
from sitkit.stages import Annotate, Evaluate
from sitkit.stages.annotate import DEMONSTRATIONS
from sitkit.stages.evaluate import PREDICTIONS
from sitkit.store import Store
from sitkit.store.jsonl import read_rows
from sitkit.types import Demonstration, Json, Prediction, Prompt, Prompting, Question

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Choice:
    """What to judge: phases and promptings, ``benchmarks`` (None: all that were scored), which seed of the run, which
    of its students (``wanted``: as in `sitkit.results.arms.fitting`), and whether on their ``own_tasks`` alone.
    """

    phases: Sequence[Judged]
    promptings: Sequence[Prompting]
    benchmarks: Sequence[str] | None
    run_seed: int
    wanted: Mapping[str, Json] = field(default_factory=dict)
    own_tasks: bool = False


@dataclass(frozen=True)
class JudgedAnswers:
    """One party's answers under one prompting to one benchmark: question id -> completion.

    ``key`` is that of the stage that holds them, empty for targets.
    """

    party: Party
    phase: Judged
    prompting: Prompting
    benchmark: str
    key: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Item:
    """One answer to rate, and the prompt the judge gets."""

    of: JudgedAnswers
    question_id: str
    question: str
    answer: str
    prompt: Prompt


@dataclass
class RunAnswers:
    """Reads the answers of a run in ``folder`` from its workspace's ``store``.

    Everything raises `RunNotFoundError` where answers are no longer stored and `ArtifactError` where they are
    damaged, saying what to do.
    """

    results: Results
    folder: Path
    store: Store
    choice: Choice
    _read: dict[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._scored = _chosen(self.results, self.choice)

    def questions(self, texts: TestQuestions) -> dict[str, dict[str, Question]]:
        """Return benchmark -> id -> question, of those that were scored.

        Raises `DataError` if a benchmark's questions cannot be had, or are no longer those the run was scored on.
        """
        found = {}
        for name, score in self._first().items():
            scored = {row.question_id for row in self._rows(Evaluate.name, score.key, Prediction)}
            every = texts.of(name, score.seed, score.key)
            if name in texts.missing:
                raise DataError(f"the questions of {name} cannot be shown to a judge: {texts.missing[name]}")
            found[name] = {name: question for name, question in every.items() if name in scored}
        return found

    def answers(self, questions: Mapping[str, Mapping[str, Question]]) -> list[JudgedAnswers]:
        """Return the answers chosen. Raises `RecipeError` if the run has none, or none of a phase asked for."""
        found = [*self._students()]
        if "teacher" in self.choice.phases:
            found += self._teachers()
        if "target" in self.choice.phases:
            found += self._targets(questions)
        missing = [phase for phase in self.choice.phases if not any(one.phase == phase for one in found)]
        if "teacher" in missing:
            raise RecipeError(
                "the run holds no answers of its teacher to test questions;"
                f" {again(self.folder, ' --eval-teacher')} with them"
            )
        if not found:
            raise RecipeError(f"the run has no answers of the phases {', '.join(missing)}")
        return found

    def _students(self) -> Iterator[JudgedAnswers]:
        for cell, score in self._scored:
            if cell.phase in self.choice.phases and cell.prompting in self.choice.promptings:
                predictions = self._rows(Evaluate.name, score.key, Prediction)
                answers = {row.question_id: row.completion for row in predictions if row.prompting == cell.prompting}
                party = Party(
                    student=cell.student,
                    teacher=cell.teacher,
                    strategy=cell.strategy,
                    method=cell.method,
                    fraction=cell.fraction,
                    train_on=cell.train_on,
                    refine_on=cell.refine_on,
                    seed=score.seed,
                )
                yield JudgedAnswers(party, cell.phase, cell.prompting, cell.benchmark, score.key, answers)

    def _teachers(self) -> Iterator[JudgedAnswers]:
        for score in self.results.teacher_scores:
            wanted = score.benchmark in self._first() and score.prompting in self.choice.promptings
            if wanted and score.split == "test":
                party = Party(teacher=score.teacher, seed=self.choice.run_seed)
                given = self._rows(Annotate.name, score.key, Demonstration)
                answers = {row.question_id: row.completion for row in given}
                yield JudgedAnswers(party, "teacher", score.prompting, score.benchmark, score.key, answers)

    def _targets(self, questions: Mapping[str, Mapping[str, Question]]) -> Iterator[JudgedAnswers]:
        party = Party(seed=self.choice.run_seed)
        for name, asked in questions.items():
            answers = {question_id: question.target_text for question_id, question in asked.items()}
            yield JudgedAnswers(party, "target", "direct", name, "", answers)

    def _first(self) -> dict[str, SeedScore]:
        return {cell.benchmark: score for cell, score in reversed(self._scored)}

    def _rows(self, stage: str, key: str, noun: type[RowT]) -> Sequence[RowT]:
        # A matrix names the same baseline in many places.
        if key not in self._read:
            self._read[key] = self._read_rows(stage, key, noun)
        return self._read[key]

    def _read_rows(self, stage: str, key: str, noun: type[RowT]) -> Sequence[RowT]:
        try:
            artifact = self.store.find(stage, key)
        except ArtifactError as error:
            raise ArtifactError(f"{error}; {again(self.folder)}") from error
        if artifact is None:
            where = self.store.folder(stage, key)
            raise RunNotFoundError(
                f"answers of {self.folder.name} are no longer stored ({where}); {again(self.folder)}"
            )
        return read_rows(artifact.folder / (PREDICTIONS if stage == Evaluate.name else DEMONSTRATIONS), noun)


def _chosen(results: Results, choice: Choice) -> list[tuple[Cell, SeedScore]]:
    seeds = sorted(seeds_of(results.arms))
    if choice.run_seed not in seeds:
        raise RecipeError(f"the run has no seed {choice.run_seed} (its seeds: {', '.join(map(str, seeds))})")
    for name in choice.benchmarks or ():
        if name not in results.benchmarks:
            raise RecipeError(f"the run was not scored on {name!r}{suggestion(name, results.benchmarks)}")
    wanted = results.benchmarks if choice.benchmarks is None else choice.benchmarks
    students = fitting(results, choice.wanted)
    if choice.own_tasks:
        students = [arm for arm in students if not arm.crossed]
    # A cell that several students share, a baseline say, is judged once.
    taken = {
        id(cell)
        for arm in students
        for cell in results.cells_of(arm)
        if cell.benchmark in wanted
        and (not choice.own_tasks or cell.benchmark in arm.train_on or cell.benchmark in arm.refine_on)
    }
    if choice.own_tasks and not taken:
        raise RecipeError(
            f"--own-tasks: none of the students chosen was both trained and refined on {' or '.join(wanted)}"
        )
    return [
        (cell, score)
        for cell in results.cells
        if id(cell) in taken
        for score in cell.seeds
        if score.seed == choice.run_seed
    ]


def draw(answers: Sequence[JudgedAnswers], sample: int, seed: int) -> dict[str, list[str]]:
    """Return benchmark -> ids of the questions drawn: ``sample`` of those that every party has an answer to, or all.

    A larger sample of the same seed holds the smaller one, so that it asks only for what is new. The order is that
    of the answers.
    """
    drawn = {}
    for benchmark in dict.fromkeys(one.benchmark for one in answers):
        answered = [one.answers for one in answers if one.benchmark == benchmark]
        common = [name for name in answered[0] if all(name in others for others in answered[1:])]
        chosen = set(sorted(common, key=lambda name: _rank(seed, benchmark, name))[:sample])
        drawn[benchmark] = [name for name in common if name in chosen]
    return drawn


def make_items(
    answers: Iterable[JudgedAnswers],
    drawn: Mapping[str, Sequence[str]],
    questions: Mapping[str, Mapping[str, Question]],
) -> Iterator[Item]:
    """Yield every answer to a question drawn, party by party."""
    for one in answers:
        for question_id in drawn[one.benchmark]:
            text, answer = question_text(questions[one.benchmark][question_id]), one.answers[question_id].strip()
            yield Item(one, question_id, text, answer, judge_prompt(text, answer))


def _rank(seed: int, benchmark: str, question_id: str) -> bytes:
    return hashlib.sha256(f"judge|{seed}|{benchmark}|{question_id}".encode()).digest()
