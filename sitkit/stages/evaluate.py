"""Evaluate: one phase of a student is scored on one benchmark, under both promptings, by lm-eval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sitkit import answers
from sitkit.answers.number import canonical_number
from sitkit.answers.thinking import apart
from sitkit.components import Component, QuestionSet, task_name
from sitkit.errors import PluginError
from sitkit.settings import EvaluateSettings, key_material
from sitkit.stages.base import Node, Work, stage_label
from sitkit.stages.completions import COMPLETIONS, complete_into
from sitkit.stages.training import ADAPTER
from sitkit.store import Journal
from sitkit.store.jsonl import write_rows
from sitkit.types import (
    PROMPTINGS,
    Completion,
    Generation,
    Json,
    Phase,
    Prediction,
    Prompt,
    Prompting,
    Question,
    Score,
    Student,
)

if TYPE_CHECKING:
    from sitkit.harness.check import TaskCheck

PREDICTIONS = "predictions.jsonl"
SAMPLES = "samples.jsonl"
TASKS = "tasks"
"""The folder of a stage's artifacts that holds the lm-eval tasks made for its benchmark, where its plugin has none."""

_ENOUGH = 20
_SHOWN = 60


@dataclass(frozen=True, eq=False)
class Evaluate:
    """The scores of one phase on one benchmark. ``learnt`` is None for the baseline."""

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 3

    student: Component[Student]
    phase: Phase
    learnt: Node | None
    questions: QuestionSet
    test_limit: int | None
    settings: EvaluateSettings
    seed: int
    where: str = ""

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The instructed or refined student, or nothing for the baseline."""
        return () if self.learnt is None else (self.learnt,)

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The student."""
        return (self.student,)

    def label(self) -> str:
        """Return phase and benchmark, where in the run it stands, and the seed where something was learnt."""
        what = f"{self.phase} {self.questions.benchmark.spec}"
        return stage_label(what, self.where, None if self.learnt is None else self.seed)

    def material(self) -> Json:
        """Return student, questions, tasks and generation; the seed only where answers are sampled."""
        sampled = {"seed": self.seed} if self.settings.temperature > 0 or self.settings.samples else {}
        return {
            "student": self.student.fingerprint,
            "questions": self.questions.material(),
            "tasks": self.tasks(),
            "reader": answers.READER_VERSION,
            "test_limit": self.test_limit,
            "settings": key_material(self.settings),
            **sampled,
        }

    def tasks(self) -> dict[Prompting, str]:
        """Return the lm-eval task for each prompting."""
        return {prompting: task_name(self.questions.benchmark, prompting) for prompting in PROMPTINGS}

    def task_checks(self, data_dir: Path | None, task_folders: Mapping[str, Sequence[Path]]) -> list[TaskCheck]:
        """Return what its lm-eval tasks have to be, to be checked before anything runs."""
        from sitkit.harness.check import TaskCheck

        benchmark = self.questions.benchmark
        if benchmark.source:
            # Its tasks are written by us.
            return []
        return [
            TaskCheck(
                who=benchmark.at("task"),
                benchmark=benchmark.spec,
                task=task,
                prompting=prompting,
                questions=self.questions.questions,
                limit=self.test_limit,
                folders=task_folders.get(benchmark.provider["distribution"], ()),
                provider=benchmark.provider,
                metadata={"data_dir": None if data_dir is None else str(data_dir), "seed": self.questions.seed},
            )
            for prompting, task in self.tasks().items()
        ]

    def prompts(self) -> int:
        """Return the number of test questions, each asked in both promptings, once and as often as is sampled."""
        return len(PROMPTINGS) * len(self.questions.questions[: self.test_limit]) * (1 + self.settings.samples)

    def run(self, work: Work) -> Json:
        """Write predictions.jsonl, and samples.jsonl where answers are drawn besides, and return the scores."""
        from sitkit.harness.made_tasks import write_tasks

        benchmark = self.questions.benchmark
        # Its provider's folders alone: another plugin's task of the same name must not stand in for it.
        folders = work.task_folders.get(benchmark.provider["distribution"], ())
        if benchmark.source:
            folders = [work.folder / TASKS]
            write_tasks(folders[0], benchmark.spec, self.tasks(), self.questions.questions)
        results = self._answered(work, folders, COMPLETIONS, self.settings.temperature)
        scores, predictions = list[Score](), list[Prediction]()
        for prompting, task in self.tasks().items():
            if "accuracy,none" not in results["results"][task]:
                raise PluginError(f"{self.questions.benchmark}: its lm-eval task {task} reports no accuracy")
            made = self._predictions(prompting, results["samples"][task])
            scores.append(self._score(prompting, results["results"][task], made))
            predictions += made
        write_rows(work.folder / PREDICTIONS, predictions)
        thinking = sum(one.truncated and not apart(one.completion).closed for one in predictions)
        if thinking:
            work.notice(
                f"{self.label()}: {thinking} of {len(predictions)} answers were cut at evaluate.max_new_tokens="
                f"{self.settings.max_new_tokens} while still thinking, and answer nothing"
            )
        told = {"scores": [asdict(score) for score in scores], "worked": _worked(predictions)}
        return told if not self.settings.samples else {**told, "sampled": self._sampled(work, folders)}

    def _answered(
        self, work: Work, folders: Sequence[Path], journal_name: str, temperature: float, repeats: int = 1
    ) -> dict[str, Any]:
        from sitkit.harness.run import run_tasks

        adapter: Path | None = None if self.learnt is None else work.artifact(self.learnt).folder / ADAPTER
        with Journal(work.scratch / journal_name) as journal:

            def complete(prompts: list[Prompt], generation: Generation) -> Mapping[str, Completion]:
                return complete_into(journal, self.student, adapter, prompts, generation, work.progress)

            return run_tasks(
                list(self.tasks().values()),
                complete,
                folders=folders,
                metadata={
                    "data_dir": None if work.data_dir is None else str(work.data_dir),
                    "seed": self.questions.seed,
                    "questions": {self.questions.benchmark.spec: self.questions.questions},
                    "match": self.settings.match,
                },
                limit=self.test_limit,
                max_new_tokens=self.settings.max_new_tokens,
                temperature=temperature,
                seed=self.seed,
                repeats=repeats,
            )

    def _sampled(self, work: Work, folders: Sequence[Path]) -> dict[str, Json]:
        """Draw the answers, write them, and return by prompting how many questions have 0, 1, … right ones (right),
        and how many the commonest answer gets right (majority).
        """
        settings, told, rows = self.settings, dict[str, Json](), list[dict[str, Json]]()
        results = self._answered(work, folders, SAMPLES, settings.sample_temperature, settings.samples)
        questions = {question.id: question for question in self.questions.questions}
        for prompting, task in self.tasks().items():
            right, majority = [0] * (settings.samples + 1), 0
            for row in results["samples"][task]:
                question, texts = questions[row["doc"]["id"]], row["resps"][0]
                correct = row.get("repeated") or [bool(row["accuracy"])]
                read = [answers.extract(question, text) for text in texts]
                right[sum(correct)] += 1
                majority += majority_right(question, read, correct)
                rows.append(
                    {
                        "question_id": question.id, "benchmark": question.benchmark, "prompting": prompting,
                        "completions": [str(text) for text in texts], "extracted": read, "correct": correct,
                        "truncated": [bool(getattr(text, "truncated", False)) for text in texts],
                    }
                )  # fmt: skip
            told[prompting] = {"samples": settings.samples, "right": right, "majority": majority}
        write_rows(work.folder / SAMPLES, rows)
        return told

    def _predictions(self, prompting: Prompting, samples: list[dict[str, Any]]) -> list[Prediction]:
        questions = {question.id: question for question in self.questions.questions}
        made = []
        for sample in sorted(samples, key=lambda one: int(one["doc_id"])):
            question = questions.get(sample["doc"].get("id"))
            if question is None:
                raise PluginError(
                    f"lm-eval's {prompting} task of {self.questions.benchmark.spec} scored another question"
                )
            text = str(sample["filtered_resps"][0])
            made.append(
                Prediction(
                    question_id=question.id,
                    benchmark=question.benchmark,
                    prompting=prompting,
                    completion=text,
                    extracted=answers.extract(question, text),
                    correct=bool(sample["accuracy"]),
                    # A task's filters may put another text in the reply's place, so the replies themselves are asked.
                    truncated=any(getattr(text, "truncated", False) for texts in sample["resps"] for text in texts),
                )
            )
        return made

    def _score(self, prompting: Prompting, results: Mapping[str, Any], made: list[Prediction]) -> Score:
        benchmark = self.questions.benchmark
        stderr = results.get("accuracy_stderr,none")
        count, answer = repeated(made, {question.id: question.target for question in self.questions.questions})
        return Score(
            benchmark=benchmark.spec,
            domain=benchmark.made.domain,
            prompting=prompting,
            metric="accuracy",
            value=float(results["accuracy,none"]),
            # lm-eval has no standard error for a single question.
            stderr=float(stderr) if isinstance(stderr, int | float) else 0.0,
            n=len(made),
            extraction_failures=sum(one.extracted is None for one in made),
            truncated=sum(one.truncated for one in made),
            finished_correct=sum(one.correct and not one.truncated for one in made),
            repeated=count,
            repeated_answer=answer,
        )


def majority_right(question: Question, read: Sequence[str | None], correct: Sequence[bool]) -> bool:
    """Return whether the commonest of several answers is right; of equally common ones the first given counts.

    Right answers are one answer, however they are written, and so are numbers of one value; what could not be read has
    no vote.
    """
    votes: Counter[str | None] = Counter()
    for text, right in zip(read, correct, strict=True):
        if right:
            votes[None] += 1
        elif text is not None:
            votes[canonical_number(text) or text if question.kind == "number" else text.strip()] += 1
    return bool(votes) and votes.most_common(1)[0][0] is None


def repeated(predictions: Sequence[Prediction], targets: Mapping[str, str]) -> tuple[int, str]:
    """Return to how many questions the commonest answer was given, and that answer (0 and "" if it tells nothing).

    It is one text, or what was read out of different ones. It tells something where there are 20 questions or more and
    it was given to a third of them, a quarter of them more than have it as their target: a letter that is the answer
    to half of the questions may well be given to half of them.
    """
    n = len(predictions)
    if n < _ENOUGH:
        return 0, ""
    wanted = Counter(targets[one.question_id] for one in predictions)
    texts = Counter(one.completion.strip() for one in predictions)
    read = Counter(one.extracted for one in predictions if one.extracted is not None)
    said = {one.completion.strip(): one.extracted for one in predictions}
    found = [(count, text, wanted[said[text] or ""]) for text, count in texts.most_common(1)]
    found += [(count, answer, wanted[answer]) for answer, count in read.most_common(1)]
    telling = [(count, answer) for count, answer, due in found if 3 * count >= n and 4 * (count - due) >= n]
    count, answer = max(telling, key=lambda one: one[0], default=(0, ""))
    return count, answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…"


def _worked(predictions: list[Prediction]) -> dict[str, dict[str, int]]:
    """How many answers are worked (more than one sentence), and how many of those and of the others are right."""
    counts: dict[str, dict[str, int]] = {}
    for one in predictions:
        count = counts.setdefault(
            one.prompting, {"n": 0, "characters": 0, "worked": 0, "worked_correct": 0, "other_correct": 0}
        )
        worked = answers.is_worked(one.completion)
        count["n"] += 1
        count["characters"] += len(one.completion)
        count["worked"] += worked
        count["worked_correct" if worked else "other_correct"] += one.correct
    return counts
