"""Annotate: the teacher answers questions (section 2.1 of the paper); its demonstrations, and its own accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from sitkit import answers
from sitkit.answers.thinking import CLOSES, OPENS
from sitkit.capabilities import BatchSubmitter
from sitkit.components import Component, QuestionSet, Selection
from sitkit.errors import RecipeError
from sitkit.settings import AnnotateSettings, key_material
from sitkit.stages.base import Node, Work
from sitkit.stages.teacher_calls import Budget, TeacherSession
from sitkit.store import Journal, make_key, short
from sitkit.store.jsonl import read_rows, write_rows
from sitkit.types import (
    TRUNCATED,
    Demonstration,
    Generation,
    Json,
    Progress,
    Prompt,
    Prompting,
    Question,
    Reply,
    Teacher,
)

DEMONSTRATIONS = "demonstrations.jsonl"
FAILURES = "failures.jsonl"

CUT_OFF = "cut off"
WRONG = "wrong"


@dataclass(frozen=True)
class Taken:
    """Which of the demonstrations are learnt from, and whether with what the teacher thought aloud."""

    keep: Literal["right", "all"] = "right"
    reasoning: Literal["drop", "keep"] = "drop"

    @classmethod
    def of(cls, settings: AnnotateSettings) -> Taken:
        """Return what the settings say."""
        return cls(settings.keep, settings.reasoning)

    def material(self) -> dict[str, Json]:
        """Return what determines what is learnt from; the reasoning only where it is kept."""
        return {"keep": self.keep, **({"reasoning": "keep"} if self.reasoning == "keep" else {})}

    def text(self, row: Demonstration) -> Demonstration:
        """Return a demonstration with the completion that is learnt: a block of thinking before it where that is kept,
        as chat templates that think write it.
        """
        if self.reasoning == "drop" or not row.reasoning.strip():
            return row
        return replace(row, completion=f"{OPENS}\n{row.reasoning.strip()}\n{CLOSES}\n\n{row.completion.strip()}")


@dataclass(frozen=True, eq=False)
class Annotate:
    """One teacher's answers to one benchmark's questions: with the trigger on the training split, demonstrations."""

    name: ClassVar[str] = "annotate"
    version: ClassVar[int] = 2

    teacher: Component[Teacher]
    questions: QuestionSet
    settings: AnnotateSettings
    prompting: Prompting = "cot"

    @property
    def inputs(self) -> tuple[Node, ...]:
        """It needs no other stage."""
        return ()

    @property
    def components(self) -> tuple[Component[Any], ...]:
        """The teacher."""
        return (self.teacher,)

    @property
    def demonstrates(self) -> bool:
        """Whether these answers are demonstrations to train on, and not only the teacher's own accuracy."""
        return self.prompting == "cot" and self.questions.split == "train"

    def label(self) -> str:
        """Return the benchmark, the share of it if it is not whole, the teacher, and what is asked where it is not for
        demonstrations.
        """
        chosen = self.questions.selection
        split = "" if self.questions.split == "train" else " test"
        share = f" ({chosen.fraction:g}, seed {chosen.seed})" if chosen is not None and chosen.fraction < 1 else ""
        return f"{self.questions.benchmark.spec}{split}{share} by {self.teacher.spec}" + (
            "" if self.prompting == "cot" else f" {self.prompting}"
        )

    def material(self) -> Json:
        """Return teacher, questions and generation; which demonstrations are kept is decided where they are used."""
        judged = {} if self.settings.match == "final" else {"match": self.settings.match}
        return {
            **self._answers_material(),
            "questions": self.questions.material(),
            "reader": answers.READER_VERSION,
            **judged,
        }

    def _answers_material(self) -> Json:
        return {
            "teacher": self.teacher.fingerprint,
            "prompting": self.prompting,
            "generation": key_material(self.settings),
        }

    @property
    def generation(self) -> Generation:
        """How the teacher generates."""
        asked = self.settings
        return Generation(asked.max_new_tokens, asked.temperature, asked.seed, top_p=asked.top_p)

    def prompts(self) -> int:
        """Return the number of questions."""
        return len(self.questions.questions)

    def journal_name(self) -> str:
        """Return the name of the rows shared by all selections of these questions."""
        asked = {"answers": self._answers_material(), "questions": self.questions.fingerprint, "rows": self.version}
        return f"annotate-{short(make_key(asked))}"

    def unanswered(self, answered: set[str]) -> list[Prompt]:
        """Return the prompts that have no answer yet."""
        return [
            Prompt(question.id, question.prompt(self.prompting))
            for question in self.questions.questions
            if question.id not in answered
        ]

    def run(self, work: Work) -> Json:
        """Write demonstrations.jsonl, and failures.jsonl for the replies that failed, which a next run tries again.

        Replies are journalled under what determines an answer, without the selection of questions: a larger limit
        or fraction asks the teacher only for what it has not answered yet. Raises `TeacherError` if more than
        ``annotate.max_failures`` fail.
        """
        questions = {question.id: question for question in self.questions.questions}
        with work.journal(self.journal_name()) as journal:
            session = self._session(journal, work.budget, work.progress)
            replies = session.ask("answer", lambda ids: self._call(self._questions(ids)))
        answered = [
            self._demonstration(question, replies[question.id])
            for question in questions.values()
            if question.id in replies and not replies[question.id].failed
        ]
        failed = session.failures()
        write_rows(work.folder / DEMONSTRATIONS, answered)
        write_rows(
            work.folder / FAILURES,
            ({"question_id": one.id, "outcome": one.outcome, "detail": one.detail} for one in failed),
        )
        self._tell(work, session, len(questions) - len(answered) - len(failed), sum(row.truncated for row in answered))
        return {
            "asked": len(questions),
            "answered": len(answered),
            "right": sum(row.correct for row in answered),
            "unanswered": len(questions) - len(answered) - len(failed),
            "truncated": sum(row.truncated for row in answered),
            "failed": len(failed),
            "outcomes": dict(sorted(Counter(reply.outcome for reply in replies.values()).items())),
            "usage": session.usage().as_json(),
            "retry": bool(failed),
        }

    def submit(self, journal: Journal, budget: Budget) -> None:
        """Have what is not answered yet answered without waiting, where the teacher can (`BatchSubmitter`)."""
        teacher = self.teacher.made
        if isinstance(teacher, BatchSubmitter):

            def hand_in(ids: frozenset[str]) -> float:
                with self.teacher.calling("submit"):
                    return teacher.submit(self._questions(ids), self.prompting, self.generation)

            self._session(journal, budget, lambda done, total: None).hand_in(hand_in)

    def _session(self, journal: Journal, budget: Budget, progress: Progress) -> TeacherSession:
        return TeacherSession(
            part=self.teacher,
            journal=journal,
            ids=[question.id for question in self.questions.questions],
            what=self.label(),
            folder=journal.path.with_suffix(""),
            budget=budget,
            max_failures=self.settings.max_failures,
            progress=progress,
        )

    def _questions(self, ids: frozenset[str]) -> list[Question]:
        return [question for question in self.questions.questions if question.id in ids]

    def _call(self, questions: list[Question]) -> Iterator[object]:
        with self.teacher.calling("answer"):
            return iter(self.teacher.made.answer(questions, self.prompting, self.generation))

    def _demonstration(self, question: Question, reply: Reply) -> Demonstration:
        return Demonstration(
            question_id=question.id,
            benchmark=question.benchmark,
            prompt=question.prompt(self.prompting),
            completion=reply.completion.strip(),
            teacher=self.teacher.spec,
            correct=answers.is_correct(question, reply.completion, match=self.settings.match),
            reasoning=reply.reasoning.strip(),
            truncated=reply.outcome == TRUNCATED,
        )

    def _tell(self, work: Work, session: TeacherSession, unanswered: int, truncated: int) -> None:
        total = len(session.ids)
        if unanswered and self.demonstrates:
            work.notice(f"{self.label()}: {unanswered} of {total} questions were left unanswered")
        if session.failures():
            work.notice(
                f"{self.label()}: {len(session.failures())} of {total} replies failed ({session.reasons()}); they are"
                f" listed in {work.folder / FAILURES}, and the same command tries them again"
            )
        if truncated and self.demonstrates:
            work.notice(
                f"{self.label()}: {truncated} of {total} answers ended at annotate.max_new_tokens="
                f"{self.settings.max_new_tokens}; they are not trained on"
            )


def kept_demonstrations(
    work: Work, annotated: Iterable[Node], taken: Taken, share: Selection | None = None
) -> tuple[list[Demonstration], Counter[str]]:
    """Return the demonstrations kept, in order, and why the others were dropped, counted: cut off, empty or wrong.

    Of those of each benchmark ``share`` takes its fraction. Raises `RecipeError` if that leaves none.
    """
    kept, dropped = list[Demonstration](), Counter[str]()
    for one in annotated:
        own, why = kept_of(read_rows(work.artifact(one).folder / DEMONSTRATIONS, Demonstration), taken)
        dropped += why
        if share is not None:
            drawn, count = share.drawn([row.question_id for row in own]), len(own)
            own = [row for row in own if row.question_id in drawn]
            if count and not own:
                raise RecipeError(f"{one.title}: fraction {share.fraction:g} of {count} demonstrations leaves none")
        kept += own
    return kept, dropped


def kept_of(rows: Iterable[Demonstration], taken: Taken) -> tuple[list[Demonstration], Counter[str]]:
    """Do as `kept_demonstrations` does with rows that were read already, all of them."""
    kept, dropped = list[Demonstration](), Counter[str]()
    for row in rows:
        if row.truncated:
            dropped[CUT_OFF] += 1
        elif not row.completion:
            dropped["empty"] += 1
        elif not row.correct and taken.keep == "right":
            dropped[WRONG] += 1
        else:
            kept.append(taken.text(row))
    return kept, dropped
