"""Annotate: the teacher answers training questions step by step (section 2.1 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

from sitkit.answers import READER_VERSION, is_correct
from sitkit.errors import PluginError
from sitkit.parts import Part, QuestionSet
from sitkit.rows import write_rows
from sitkit.settings import AnnotateSettings
from sitkit.stages.base import Node, Work
from sitkit.store import make_key
from sitkit.types import Demonstration, Generation, Json, Question, Teacher

DEMONSTRATIONS = "demonstrations.jsonl"


@dataclass(frozen=True, eq=False)
class Annotate:
    """One teacher's demonstrations for one benchmark's training questions."""

    name: ClassVar[str] = "annotate"
    version: ClassVar[int] = 1

    teacher: Part[Teacher]
    questions: QuestionSet
    settings: AnnotateSettings

    @property
    def inputs(self) -> tuple[Node, ...]:
        """It needs no other stage."""
        return ()

    def label(self) -> str:
        """Return the benchmark and the teacher."""
        return f"{self.questions.benchmark.spec} by {self.teacher.spec}"

    def material(self) -> Json:
        """Return teacher, questions and generation; which demonstrations are kept is decided where they are used."""
        return {**self._answers_material(), "questions": self.questions.material(), "reader": READER_VERSION}

    def _answers_material(self) -> Json:
        return {
            "teacher": self.teacher.fingerprint,
            "generation": {key: value for key, value in asdict(self.settings).items() if key != "keep"},
        }

    def _answers(self, missing: list[Question], generation: Generation) -> Iterator[tuple[str, str]]:
        if missing:
            with self.teacher.calling("answer"):
                given = self.teacher.made.answer(missing, "cot", generation)
            yield from self.teacher.answers("answer", given)

    def prompts(self) -> int:
        """Return the number of questions."""
        return len(self.questions.questions)

    def run(self, work: Work) -> Json:
        """Write demonstrations.jsonl.

        Answers are journalled under what determines an answer, without the selection of questions: a larger limit
        or fraction asks the teacher only for what it has not answered yet.
        """
        questions = {question.id: question for question in self.questions.questions}
        generation = Generation(self.settings.max_new_tokens, self.settings.temperature, self.settings.seed)
        asked = {"answers": self._answers_material(), "questions": self.questions.fingerprint}
        with work.journal(f"annotate-{make_key(asked)[:20]}") as journal:
            missing = [question for question in questions.values() if question.id not in journal.rows]
            done = len(questions) - len(missing)
            work.progress(done, len(questions))
            for question_id, completion in self._answers(missing, generation):
                if question_id not in questions:
                    raise PluginError(f"{self.teacher}: answered {question_id!r}, which was not asked")
                journal.append(question_id, completion)
                done += 1
                work.progress(min(done, len(questions)), len(questions))
            rows = [
                Demonstration(
                    question_id=question.id,
                    benchmark=question.benchmark,
                    prompt=question.prompt("cot"),
                    completion=journal.rows[question.id].strip(),
                    teacher=self.teacher.spec,
                    correct=is_correct(question, journal.rows[question.id]),
                )
                for question in questions.values()
                if question.id in journal.rows
            ]
        write_rows(work.folder / DEMONSTRATIONS, rows)
        right = sum(row.correct for row in rows)
        unanswered = len(questions) - len(rows)
        if unanswered:
            work.notice(f"{self.label()}: {unanswered} of {len(questions)} questions were left unanswered")
        return {"asked": len(questions), "answered": len(rows), "right": right, "unanswered": unanswered}
